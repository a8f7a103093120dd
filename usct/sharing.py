"""Processes that share out a machine: its threads, and its GPUs."""

import multiprocessing
import multiprocessing.queues
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

import torch

from usct.forward.parallel import n_threads
from usct.preflight import usable_device


@contextmanager
def processes(count: int) -> Iterator[Executor | None]:
    """A pool of processes that share out the machine's threads and GPUs; None for one."""
    if count == 1:
        yield None
        return
    threads = max(1, n_threads() // count)
    context = multiprocessing.get_context("spawn")
    slots = context.Queue()
    for slot in range(count):
        slots.put(slot)
    pool = ProcessPoolExecutor(count, context, _settle, (threads, slots))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_slot = 0
"""Which of a pool's processes this one is."""


def _settle(threads: int, slots: "multiprocessing.queues.Queue[int]") -> None:
    """Take a place in a pool of processes."""
    global _slot  # noqa: PLW0603 # a process has one place for life
    torch.set_num_threads(threads)
    _slot = slots.get()


def device_of(name: str, slot: int) -> torch.device:
    """The device of a pool's process: GPUs are dealt out in turn unless one is named.

    Raises:
        InputError: If it cannot be used.
    """
    device = usable_device(name)
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", slot % torch.cuda.device_count())


def own_device(name: str) -> torch.device:
    """The device of this process; see `device_of`."""
    return device_of(name, _slot)
