"""Rows of a large array, kept on the disk one by one as they come, so that work can go on after an interruption."""

import json
import os
from pathlib import Path

import numpy as np

from usct.errors import InputError

_HEADER = 4096


class RowFile:
    """A float32 array on the disk of which some rows are there already.

    A row is flushed to the disk before it is noted as done, so that a kill at any moment loses one row at most.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], fingerprint: str, resume: bool) -> None:
        """Start a file, or go on with one.

        Args:
            path: Where.
            shape: Of the array; the first axis counts rows.
            fingerprint: Of all that the rows depend on.
            resume: Go on with the file that is there.

        Raises:
            InputError: If the file cannot be written, or there is none of this fingerprint to go on with.
        """
        self.path = path
        facts = json.dumps({"shape": list(shape), "fingerprint": fingerprint}).encode().ljust(_HEADER)
        size = _HEADER + shape[0] + 4 * int(np.prod(shape))
        if resume:
            _check(path, facts, size)
        else:
            try:
                with path.open("wb") as stream:
                    stream.write(facts)
                    os.posix_fallocate(stream.fileno(), 0, size)
            except OSError as error:
                path.unlink(missing_ok=True)
                raise InputError(
                    f"{path}: {size / 1e9:.3g} GB could not be set aside ({error.strerror}); free some space or "
                    "choose another place"
                ) from None
        self._done = np.memmap(path, np.uint8, "r+", _HEADER, (shape[0],))
        self.values = np.memmap(path, np.float32, "r+", _HEADER + shape[0], shape)

    @property
    def missing(self) -> list[int]:
        """Rows that are not there yet."""
        return [int(row) for row in np.flatnonzero(self._done == 0)]

    def put(self, row: int, values: np.ndarray) -> None:
        """Write a row."""
        self.values[row] = values
        self.values.flush()
        self._done[row] = 1
        self._done.flush()


def _check(path: Path, facts: bytes, size: int) -> None:
    if not path.exists():
        raise InputError(f"{path}: there is nothing to resume from; start without --resume")
    with path.open("rb") as stream:
        same = stream.read(_HEADER) == facts
    if not same or path.stat().st_size != size:
        raise InputError(
            f"{path}: was made from another phantom or with other settings; use those, or start afresh without "
            "--resume"
        )
