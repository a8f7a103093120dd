"""Seconds and peak memory of a call."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")


@dataclass(frozen=True)
class Measured(Generic[Result]):
    """What a call returned and what it took.

    Attributes:
        result: What it returned.
        seconds: Elapsed [s].
        peak_bytes: Most memory held during the call beyond what was held before; None where unknown.
    """

    result: Result
    seconds: float
    peak_bytes: int | None


def measure(call: Callable[[], Result], device: torch.device) -> Measured[Result]:
    """Run a call and measure it, waiting for the device before and after."""
    before = _restart_peak(device)
    start = time.perf_counter()
    result = call()
    synchronise(device)
    seconds = time.perf_counter() - start
    peak = _peak(device)
    return Measured(result, seconds, None if before is None or peak is None else peak - before)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _restart_peak(device: torch.device) -> int | None:
    """Forget the peak so far and return what is held now [bytes]."""
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        # Memory that was freed but is still held by the allocator would hide what the call needs.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    return _status("VmRSS")


def _peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(field: str) -> int | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    return None
