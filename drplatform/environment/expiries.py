"""When what backups depend on ends to be good: certificates that the configuration names, and keys that are to be replaced.

Formats: PEM certificates (RFC 7468); identity files of age, whose `# created:` line is what age-keygen writes.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from drplatform.model import errors
from drplatform.model.config import Config
from drplatform.model.monitoring import UNREADABLE

CERTIFICATES = ("tls_ca", "tls_certificate")
KEYS_FOR = timedelta(days=365)
"""A key is to be replaced after a year; the new one opens what the old one did (`drplatform keys rotate`)."""


def certificates(configured: Config, beside: Path) -> dict[str, datetime]:
    """By what it is, when each certificate ends to be valid; the first of a file to do so. UNREADABLE for what is none."""
    places = {**configured.stores, **{f"the replica of {name}": place for name, place in configured.replicas.items()}}
    return {
        f"the certificate {place.options[option]} of {name}": _end(certificate, beside / place.options[option])
        for name, place in places.items()
        for option in CERTIFICATES
        if option in place.options
    }


def all_of(configured: Config, beside: Path, identity: Path | None) -> dict[str, datetime]:
    """Certificates and the private key."""
    return {**certificates(configured, beside), **({f"the key {identity.name}": _end(key, identity)} if identity else {})}


def _end(read: Callable[[Path], datetime], file: Path) -> datetime:
    try:
        return read(file)
    except errors.SettingsError:
        return UNREADABLE


def certificate(file: Path) -> datetime:
    """Raises SettingsError."""
    try:
        return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise errors.SettingsError(f"The certificate {file} cannot be read ({error}).") from error


def key(file: Path) -> datetime:
    """When the identities in the file are to be replaced. Raises SettingsError."""
    try:
        created = re.findall(r"^# created: (\S+)", file.read_text(), re.MULTILINE)
        made = min(map(datetime.fromisoformat, created)) if created else datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise errors.SettingsError(f"The age of the key {file} cannot be seen ({type(error).__name__}).") from error
    return made.astimezone(UTC) + KEYS_FOR
