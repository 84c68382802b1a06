"""Reading and writing below one directory, never outside it: every step of a path is opened relative to the one before, following no link."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drplatform.model import errors
from drplatform.stores.configuration.entry import DIRECTORY, FILE, LINK, SECTIONS, Entry, allowed_mode

IDENTITY = ".drplatform-identity"
LARGEST_FILE = 64 * 1024 * 1024
_DRAFT = ".drplatform-new-"
_ATTEMPTS = 5
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = (FileNotFoundError, NotADirectoryError)


def entries(root: Path, section: str) -> Iterator[Entry]:
    """Everything of a section, a directory before what is in it; what goes away meanwhile is left out.

    Raises StoreError for what cannot be read, is larger than LARGEST_FILE bytes, or is neither file, directory nor link.
    """
    names = [section] if section in SECTIONS[:-1] else [name for name in _names(root, ()) if name not in SECTIONS[:-1]]
    for name in names:
        yield from _below(root, (), name)


def write(root: Path, entry: Entry) -> None:
    """Make the entry: a file whole or not at all, readable for nobody else before it has its mode.

    Raises IntegrityError when its path leads outside or through a link, StoreError when it cannot be written. A directory is open to its
    owner alone until `close_directory` gives it its mode.
    """
    steps = _steps(entry.path)
    with _failing(f"write {entry.path!r}"), _made(root, entry.path, steps[:-1]) as parent:
        if entry.kind == FILE:
            _write_file(parent, steps[-1], entry)
        elif entry.kind == LINK:
            os.symlink(entry.target, steps[-1], dir_fd=parent)
        elif entry.kind == DIRECTORY:
            _make_directory(parent, steps[-1])
        else:
            raise errors.IntegrityError(f"{entry.path!r} is of the unknown kind {entry.kind!r}; do not trust this backup.")


def close_directory(root: Path, entry: Entry) -> None:
    """Give a directory its mode, after all that is in it was written."""
    with _failing(f"set the mode of {entry.path!r}"), _opened(root, _steps(entry.path)) as directory:
        os.fchmod(directory, allowed_mode(entry.path, entry.mode))
        os.fsync(directory)


def identity(root: Path) -> str:
    """The marker of the directory, made at the first call. Raises StoreError when there is no such directory."""
    with _failing(f"identify the directory {root}"):
        if not (root / IDENTITY).exists():
            _write_marker(root)
        return (root / IDENTITY).read_text("ascii").strip()


# -- reading ------------------------------------------------------------------------------------------------------------------


def _below(root: Path, parents: tuple[str, ...], name: str) -> Iterator[Entry]:
    path = "/".join((*parents, name))
    with _failing(f"read {path!r}"):
        entry = _look(root, parents, name, path)
    if entry is None:
        return
    yield entry
    if entry.kind == DIRECTORY:
        for child in _names(root, (*parents, name)):
            yield from _below(root, (*parents, name), child)


def _names(root: Path, steps: tuple[str, ...]) -> list[str]:
    with _failing(f"list {'/'.join(steps) or root}"):
        try:
            with _opened(root, steps) as directory:
                found = os.listdir(directory)  # noqa: PTH208  of an open directory
        except _GONE:
            if not steps:
                raise
            found = []
    return sorted(name for name in found if not name.startswith(_DRAFT) and (steps or name != IDENTITY))


def _look(root: Path, parents: tuple[str, ...], name: str, path: str) -> Entry | None:
    """None when it is not there any more."""
    try:
        with _opened(root, parents) as parent:
            seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
            mode = allowed_mode(path, stat.S_IMODE(seen.st_mode))
            if stat.S_ISLNK(seen.st_mode):
                return Entry(path, LINK, target=os.readlink(name, dir_fd=parent))
            if stat.S_ISDIR(seen.st_mode):
                return Entry(path, DIRECTORY, mode)
            if stat.S_ISREG(seen.st_mode):
                return Entry(path, FILE, mode, content=_content(parent, name, path))
    except _GONE:
        return None
    raise errors.StoreError(f"{path!r} is neither file, directory nor link; take it out of the configuration.")


def _content(parent: int, name: str, path: str) -> bytes:
    """The content as it was at one moment."""
    for _ in range(_ATTEMPTS):
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        with os.fdopen(opened, "rb") as file:
            before = os.fstat(opened)
            content = file.read(LARGEST_FILE + 1)
            after = os.fstat(opened)
        if len(content) > LARGEST_FILE:
            raise errors.StoreError(f"{path!r} is larger than {LARGEST_FILE} bytes; keep it in file storage.")
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size) and len(content) == after.st_size:
            return content
    raise errors.StoreError(f"{path!r} changes while it is read; back it up when nobody writes it.")


# -- writing ------------------------------------------------------------------------------------------------------------------


def _write_file(parent: int, name: str, entry: Entry) -> None:
    draft = _DRAFT + secrets.token_hex(8)
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(entry.content)
            file.flush()
            os.fchmod(opened, allowed_mode(entry.path, entry.mode))
            os.fsync(opened)
        os.rename(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=parent)
        raise


def _make_directory(parent: int, name: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)


def _write_marker(root: Path) -> None:
    """Of several that write at once, one wins, and none is ever seen half-written."""
    draft = root / f"{_DRAFT}{secrets.token_hex(8)}"
    draft.write_text(secrets.token_hex(8))
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, root / IDENTITY)
    finally:
        draft.unlink()


def _steps(path: str) -> tuple[str, ...]:
    """The steps of a path of a backup. Raises IntegrityError when one of them leads anywhere but down, or at what is ours."""
    steps = tuple(path.split("/"))
    if steps == (IDENTITY,) or not all(map(_is_name, steps)):
        raise errors.IntegrityError(f"The path {path!r} of the backup leads out of the directory; do not trust this backup.")
    return steps


def _is_name(step: str) -> bool:
    """Whether it can name something in a directory, and nothing of ours."""
    try:
        os.fsencode(step)
    except UnicodeEncodeError:
        return False
    return step not in ("", ".", "..") and "\0" not in step and not step.startswith(_DRAFT)


@contextmanager
def _opened(root: Path, steps: tuple[str, ...], make: bool = False) -> Iterator[int]:
    """A descriptor of the directory, which is below the root for certain."""
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in steps:
            if make:
                _make_directory(current, step)
            inner = os.open(step, _STEP, dir_fd=current)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


@contextmanager
def _made(root: Path, path: str, steps: tuple[str, ...]) -> Iterator[int]:
    """The same for writing: missing directories are made, and a link on the way is an attack."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(_opened(root, steps, make=True))
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP) and root.is_dir():
                raise errors.IntegrityError(
                    f"The path {path!r} of the backup leads through a link or file; do not trust this backup."
                ) from error
            raise
        yield directory


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """What the system refuses becomes a StoreError."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise errors.StoreError(f"Could not {what}: {getattr(error, 'strerror', None) or error}") from error
