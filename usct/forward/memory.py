"""Large arrays whose memory is used again.

A factorisation and its fields take gigabytes, iteration after iteration. Fresh memory must be cleared by the
system page by page, which costs as much as the arithmetic; so blocks that are no longer referenced are kept
and handed out again.
"""

import math
import threading
import weakref

import numpy as np

MAX_SPARE_BLOCKS = 8

_spare: list[np.ndarray] = []
# Re-entrant: collecting garbage while the lock is held may end an array, which gives its block back.
_lock = threading.RLock()


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Uninitialised array; its memory returns to the stock when nothing refers to it any more."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    block = _take(n_bytes)
    if block is None:
        # Rounded up, so that a slightly larger problem fits too; memory that is never touched costs nothing.
        block = np.empty(1 << (n_bytes - 1).bit_length() if n_bytes else 0, dtype=np.uint8)
    # Views refer to this array, and it to the block only through the buffer protocol, so that its end is seen.
    array = (
        np.frombuffer(block.data[:n_bytes], dtype=dtype).reshape(shape) if n_bytes else np.empty(shape, dtype)
    )
    root = array if array.base is None else array.base
    if n_bytes and isinstance(root, np.ndarray):
        weakref.finalize(root, _give_back, block)
    return array


def release() -> None:
    """Return all spare memory to the system."""
    with _lock:
        _spare.clear()


def _take(n_bytes: int) -> np.ndarray | None:
    with _lock:
        fitting = [block for block in _spare if n_bytes <= block.nbytes <= 8 * n_bytes]
        if not fitting:
            return None
        best = min(fitting, key=lambda block: block.nbytes)
        _spare[:] = [block for block in _spare if block is not best]
        return best


def _give_back(block: np.ndarray) -> None:
    with _lock:
        _spare.append(block)
        # The smallest go first: low frequencies come before high ones, and their blocks are not needed again.
        while len(_spare) > MAX_SPARE_BLOCKS:
            smallest = min(_spare, key=lambda spare: spare.nbytes)
            _spare[:] = [spare for spare in _spare if spare is not smallest]
