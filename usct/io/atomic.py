"""Writing files so that a reader, or a kill at any moment, meets the old file or the new one whole."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from usct.errors import InputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name in the folder of `path` and move it there once the block has ended well.

    The file is flushed to the disk before it is renamed, and its folder after. If the block fails the
    temporary file is removed and `path` is as it was. A symbolic link is followed, not replaced.

    Args:
        path: The file to write or replace.

    Yields:
        The temporary file, empty, in the same folder.

    Raises:
        InputError: If the folder does not exist or cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise InputError(f"{path}: this is a folder; give the name of a file to write.")
    if not target.parent.is_dir():
        raise InputError(f"{path}: the folder {target.parent} does not exist; create it or choose another.")
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        # Created by hand rather than by tempfile, so that the user's umask decides who may read it.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise InputError(
            f"{path}: could not be written ({reason}), and what was there before is unchanged; "
            "free some space or choose another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write or replace a file in one step.

    Args:
        path: The file to write or replace.
        content: All of its bytes.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write or replace a UTF-8 text file in one step.

    Args:
        path: The file to write or replace.
        content: All of its text.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    write_bytes(path, content.encode())


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be made ({error.strerror}); choose another."
        ) from error
