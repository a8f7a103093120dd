"""Shared-memory parallelism on a CPU: many independent pieces of work, each with single-threaded BLAS.

BLAS libraries spin while they wait for their own threads, which ruins everything else that runs on a small or
busy machine. Here the pieces are the unit of parallelism and BLAS keeps to the thread that calls it.
"""

import functools
import importlib.util
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")
Result = TypeVar("Result")


@functools.cache
def n_threads() -> int:
    """Threads to use: as many as torch (which honours OMP_NUM_THREADS), at most the processors granted."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), granted))


@functools.cache
def compiled_code_runs() -> bool:
    """Whether the compiled executors can be used; without numba the plain torch ones do the same, slower."""
    return all(importlib.util.find_spec(name) for name in ("numba", "threadpoolctl"))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="usct")


def _libraries() -> "ThreadpoolController":
    # A controller governs the libraries that are loaded when it is made: a new one each time, and SciPy's BLAS,
    # which compiled code calls, before it.
    import scipy.linalg.cython_blas  # noqa: F401
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


_depth = 0
_original: list[Any] = []
_lock = threading.Lock()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Keep BLAS to the calling thread; may be nested, and only the outermost one costs anything.

    Giving BLAS its threads back wakes one that spins for a while, so whoever runs many pieces of work in a row
    should enter this once around all of them.
    """
    if not compiled_code_runs():
        yield
        return
    global _depth  # noqa: PLW0603 # counts users of a setting that is global to the process
    with _lock:
        _depth += 1
        if _depth == 1:
            _original.append(_libraries().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _original.pop().restore_original_limits()


def each(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> list[Result]:
    """Call `work` with every piece, in parallel; results come in the order of the pieces."""
    with single_threaded_blas():
        return list(map(work, pieces)) if n_threads() == 1 else list(_pool().map(work, pieces))


def shares(n: int, most: int | None = None) -> list[slice]:
    """Split range(n) into a few slices for every thread, of at most `most` items each."""
    if n == 0:
        return []
    count = min(n, 4 * n_threads() if n_threads() > 1 else 1)
    size = -(-n // count) if most is None else min(-(-n // count), most)
    return [slice(first, min(n, first + size)) for first in range(0, n, size)]
