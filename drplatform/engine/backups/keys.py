"""Keys of backups: age X25519 pairs (https://age-encryption.org/v1). A backup job needs only the public one."""

import os
import tempfile
from pathlib import Path

import pyrage

from drplatform.model import errors
from drplatform.model.secret import Secret


def generate() -> tuple[str, Secret]:
    """A new pair: the recipient (public, `age1...`) and the identity (secret)."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity.to_public()), Secret(str(identity))


def recipient(text: str) -> pyrage.x25519.Recipient:
    """Raises SettingsError for what is no age recipient."""
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise errors.SettingsError(
            f"{text.strip()[:20]!r} is no age recipient; it begins with 'age1' (make one with: drplatform keys generate)."
        ) from error


def identity(secret: Secret) -> pyrage.x25519.Identity:
    """Raises SettingsError for what is no age identity; the message does not show it."""
    try:
        return pyrage.x25519.Identity.from_str(secret.reveal().strip())
    except pyrage.IdentityError:
        raise errors.SettingsError("A private key given is no age identity; it begins with 'AGE-SECRET-KEY-1'.") from None


def public(secret: Secret) -> str:
    """The recipient that belongs to the identity."""
    return str(identity(secret).to_public())


def write_identity(path: Path, secret: Secret, public: str) -> None:
    """Write the identity to a new file that only its owner can read. Raises SettingsError when the file exists."""
    try:
        write_private(path, Secret(f"# public key: {public}\n{secret.reveal()}\n"))
    except FileExistsError as error:
        raise errors.SettingsError(f"{path} exists and may be the only key to some backups; choose another name.") from error
    except OSError as error:
        raise errors.SettingsError(f"{path} cannot be written ({error.strerror}).") from error


def write_private(path: Path, content: Secret) -> None:
    """Write a new file that only its owner can read, there whole or not at all. Raises FileExistsError, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for its owner alone
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content.reveal())
            file.flush()
            os.fsync(file.fileno())
        Path(path).hardlink_to(temporary)
    finally:
        Path(temporary).unlink()


def read_identities(path: Path) -> tuple[Secret, ...]:
    """The identities of an age identity file: one a line, comments begin with #."""
    found = tuple(Secret(line) for line in _lines(path))
    for one in found:
        identity(one)
    if not found:
        raise errors.SettingsError(f"{path} holds no private key.")
    return found


def read_recipients(path: Path) -> tuple[str, ...]:
    """The recipients of a file: one a line, comments begin with #."""
    found = tuple(_lines(path))
    for one in found:
        recipient(one)
    if not found:
        raise errors.SettingsError(f"{path} holds no recipient.")
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"The key file {path} cannot be read ({type(error).__name__}).") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
