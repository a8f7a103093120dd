"""Shared-memory parallelism on a CPU: many independent pieces of work, each with single-threaded BLAS.

BLAS libraries spin while they wait for their own threads, which ruins everything else that runs on a small or
busy machine. Here the pieces are the unit of parallelism and BLAS keeps to the thread that calls it.
"""

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import threadpoolctl
import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


@functools.cache
def n_threads() -> int:
    """Threads to use: as many as torch (which honours OMP_NUM_THREADS), at most the processors granted."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), granted))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="usct")


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()


def each(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> list[Result]:
    """Call `work` with every piece, in parallel; results come in the order of the pieces."""
    with _libraries().limit(limits=1, user_api="blas"):
        return list(map(work, pieces)) if n_threads() == 1 else list(_pool().map(work, pieces))


def shares(n: int, most: int | None = None) -> list[slice]:
    """Split range(n) into a few slices for every thread, of at most `most` items each."""
    if n == 0:
        return []
    count = min(n, 4 * n_threads() if n_threads() > 1 else 1)
    size = -(-n // count) if most is None else min(-(-n // count), most)
    return [slice(first, min(n, first + size)) for first in range(0, n, size)]
