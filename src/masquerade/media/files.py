"""Files that are either whole or not there at all."""

import contextlib
import errno
import glob
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from masquerade.errors import InputError, OutputError

_MARK = "masquerade-part"
_live: set[Path] = (
    set()
)  # temporaries of this process: a dead process may have had the same id (always 1 in a container)


@contextlib.contextmanager
def atomic_output(path: Path | str, *, inputs: Iterable[Path | str] = ()) -> Iterator[Path]:
    """Yield a temporary path beside `path`; give it the final name only when the block ends well.

    The temporary is hidden, has the same suffix, and is removed on any failure, Ctrl-C included. Temporaries that a
    killed run left for this same name are removed first.

    Args:
        path: the final name; its folder must exist.
        inputs: files that must not be overwritten.

    Raises:
        OutputError: `path` is one of `inputs`, is a folder, or cannot be written (no permission, no space).
    """
    path = Path(path)
    with _part_of(path, inputs) as part, _explained(path):
        yield part
        _flush_to_disk(part)
        part.replace(path)
        _flush_to_disk(path.parent)


def check_output(path: Path | str, *, inputs: Iterable[Path | str] = ()) -> None:
    """Find out now, not after hours of work, that `atomic_output` would refuse. Leaves nothing behind.

    Raises:
        OutputError: `path` is one of `inputs`, is a folder, or nothing can be written beside it.
    """
    with _part_of(Path(path), inputs):
        pass


def make_folder(path: Path) -> None:
    """Make a folder and those it lies in, if they are not there yet.

    Raises:
        OutputError: they cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder cannot be made ({error.strerror or error})", path=path, hint="Choose another folder"
        ) from error


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits, read in small pieces.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError) -> InputError:
    """What to tell a person about an input that the operating system would not give."""
    match error:
        case FileNotFoundError():
            return InputError("no such file", path=path, hint="Check the name")
        case IsADirectoryError():
            return InputError("is a folder, not a file", path=path, hint="Name a file inside it")
        case PermissionError():
            return InputError("may not be read", path=path, hint="Check the file's permissions")
    return InputError(f"cannot be read ({error.strerror or error})", path=path, hint="Check the disk or the connection")


def check_readable(path: Path | str) -> Path:
    """The path of a file that exists, is not empty and may be read.

    Raises:
        InputError: it does not, is, or may not.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError("is empty", path=path, hint="Copy or record it again")
    except OSError as error:
        raise unreadable(path, error) from error
    return path


def _refuse_inputs(path: Path, inputs: Iterable[Path | str]) -> None:
    for source in map(Path, inputs):
        same = path.resolve() == source.resolve()
        with contextlib.suppress(OSError):  # one of them does not exist, so they cannot be one file
            same = same or path.samefile(source)  # also knows hard links and file systems that ignore case
        if same:
            raise OutputError("is also the input, which is never overwritten", path=path, hint="Choose another output")


@contextlib.contextmanager
def _part_of(path: Path, inputs: Iterable[Path | str]) -> Iterator[Path]:
    """An empty temporary beside `path`, removed in the end if it is still there."""
    _refuse_inputs(path, inputs)
    if path.is_dir():
        raise OutputError("is a folder", path=path, hint="Name a file")
    if not path.parent.is_dir():
        raise OutputError("its folder does not exist", path=path, hint="Create the folder first")
    _remove_stale(path)
    part = path.with_name(f"{_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    _live.add(part)
    try:
        try:
            with _explained(path):
                part.touch()
        except OSError as error:  # whatever it is, here it is the output's
            raise OutputError(
                f"cannot be written ({error.strerror or error})", path=path, hint="Choose another name or folder"
            ) from error
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        _live.discard(part)


def _prefix(path: Path) -> str:
    return f".{path.name[:40]}.{_MARK}-"  # shortened: names may have 255 bytes, and a letter may have four


def _remove_stale(path: Path) -> None:
    prefix = _prefix(path)
    for part in path.parent.glob(f"{glob.escape(prefix)}*"):
        owner = part.name.removeprefix(prefix).split("-")[0]
        if part not in _live and owner.isdecimal() and not _runs_elsewhere(int(owner)):
            with contextlib.suppress(OSError):
                part.unlink()


def _runs_elsewhere(process: int) -> bool:
    if process == os.getpid() or os.name == "nt":  # Windows refuses to remove a file in use, which says it better
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Only what can come from the output; an input's failure inside the block is told by whoever reads it.
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                raise OutputError("no space left on its disk", path=path, hint="Free some space") from error
            case errno.EFBIG:
                raise OutputError("is larger than its disk or a limit allows", path=path) from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise OutputError(
                    "its folder may not be written", path=path, hint="Choose another folder or change its permissions"
                ) from error
        raise


def _flush_to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders and needs no flush for a rename
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
