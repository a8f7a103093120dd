"""What this machine and this installation are, for bug reports and for choosing settings."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from usct import __version__

_PACKAGES = ("torch", "numpy", "scipy", "h5py", "numba", "matplotlib", "scikit-image")


def rows() -> list[tuple[str, str]]:
    """Versions, processor, memory, threads and accelerators as label and text.

    Nothing that names the user, the machine or its folders is among them, so that the table can be
    posted as it is.
    """
    table = [
        ("usct", __version__),
        ("Python", platform.python_version()),
        ("System", f"{platform.system()} {platform.release()} ({platform.machine()})"),
        ("Processor", _processor()),
        ("Cores", f"{_usable_cores()} usable, {torch.get_num_threads()} used by torch"),
        ("Memory", _memory()),
    ]
    return table + _accelerators() + [(name, _version(name)) for name in _PACKAGES]


def _usable_cores() -> int:
    """Cores this process may run on, which a container can make fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Name of the processor model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (models[0] if models else platform.processor()) or "unknown"


def _memory() -> str:
    """Installed and available memory."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    total, available = (kibibytes.get(name, 0) / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB, {available:.1f} GiB available"


def _accelerators() -> list[tuple[str, str]]:
    """The CUDA devices that torch can use, one row each."""
    if not torch.cuda.is_available():
        reason = "this torch was built without CUDA" if torch.version.cuda is None else "none found"
        return [("GPU", f"none ({reason})")]
    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = f"{device.total_memory / 2**30:.0f} GiB"
        found.append((f"cuda:{index}", f"{device.name}, {memory}, compute {device.major}.{device.minor}"))
    return [*found, ("CUDA", str(torch.version.cuda))]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
