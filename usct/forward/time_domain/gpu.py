"""Time stepping on a GPU in the fastest way that proves right there: kernels from a graph, kernels, or plain torch.

A way is taken only after it has stepped a small random medium of the same kind as plain torch does. What a driver, a
compiler or an unknown device breaks is told once, in a sentence, and the next way is tried.
"""

import functools
import importlib.util
import warnings
from contextlib import AbstractContextManager, nullcontext

import torch

from usct.errors import InputError
from usct.forward.sampling import Sampling
from usct.forward.time_domain import layers, reference
from usct.forward.time_domain.elements import PATCH_WIDTH
from usct.forward.time_domain.relaxation import fit_relaxation
from usct.forward.time_domain.scheme import Scheme, assemble
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.stencil import fit_stencil
from usct.grid import Grid

GRAPH, KERNELS = "kernels from a CUDA graph", "kernels one by one"
WAYS = (GRAPH, KERNELS)
"""From the fastest on; plain torch comes last and is what they are held against."""

TRIAL_STEPS = 11
"""So many that a graph is captured, replayed, and left for a last odd step."""
TRIAL_STEP = 1.5e-7
LARGEST_DIFFERENCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def propagate(scheme: Scheme, shots: Shots, dtype: torch.dtype, device: torch.device) -> Records:
    """Run shots; see `shots` for what goes in and comes out.

    Raises:
        InputError: If the device fails whatever way is taken.
    """
    n_mechanisms = 0 if scheme.relaxation is None else len(scheme.relaxation.weights)
    way = proven(device, dtype, scheme.grid.n_dims, scheme.keep is not None, n_mechanisms)
    try:
        return _run(way, scheme, shots, dtype, device)
    except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
        raise InputError(
            f"{device} failed ({_first_line(error)}); take a coarser grid if its memory does not suffice, or the "
            "device cpu"
        ) from None


@functools.cache
def proven(
    device: torch.device, dtype: torch.dtype, n_dims: int, is_dense: bool, n_mechanisms: int
) -> str | None:
    """The first of `WAYS` that steps a medium of that kind as it should; None for plain torch."""
    if importlib.util.find_spec("triton") is None:
        _tell(device, "triton is not installed; get it with pip install 'usct[gpu]'")
        return None
    scheme, shots = _trial(n_dims, is_dense, n_mechanisms)
    wanted = reference.propagate(scheme, shots)
    faults = {}
    for way in WAYS:
        faults[way] = _fault(way, scheme, shots, wanted, dtype, device)
        if not faults[way]:
            break
    told = "; ".join(f"{way}: {fault}" for way, fault in faults.items() if fault)
    if told:
        _tell(device, told)
    return next((way for way, fault in faults.items() if not fault), None)


def _tell(device: torch.device, reason: str) -> None:
    text = f"time stepping on {device} goes on in a slower way, with the same results ({reason})"
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def _fault(
    way: str, scheme: Scheme, shots: Shots, wanted: Records, dtype: torch.dtype, device: torch.device
) -> str:
    """What is wrong with a way; nothing if it does what is wanted."""
    try:
        found = _run(way, scheme, shots, dtype, device)
        pairs = [(found.traces, wanted.traces), (found.fields, wanted.fields), (found.rest, wanted.rest)]
        apart = max(_difference(a, b) for a, b in pairs if a is not None and b is not None)
    except Exception as error:  # noqa: BLE001 # a compiler, a driver and a device fail each in ways of their own
        return f"{type(error).__name__}, {_first_line(error)}"
    # Written so that what is not a number is a fault.
    return "" if apart <= LARGEST_DIFFERENCE[dtype] else f"off by {apart:.1e} in a trial"


def _run(way: str | None, scheme: Scheme, shots: Shots, dtype: torch.dtype, device: torch.device) -> Records:
    if way is None:
        return reference.propagate(scheme, shots, dtype, device)
    from usct.forward.time_domain import fused

    # Kernels are launched on the current device, whatever the device of their arguments.
    current: AbstractContextManager[object] = (
        torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    )
    with current:
        return fused.propagate(scheme, shots, dtype, device, in_graph=way == GRAPH)


def _difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.cpu().to(wanted.dtype) - wanted).norm() / wanted.norm())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:200]


def _trial(n_dims: int, is_dense: bool, n_mechanisms: int) -> tuple[Scheme, Shots]:
    """A random medium in as few cells as there can be within the layers, and two shots in it."""
    random = torch.Generator().manual_seed(0)
    grid = Grid.centred(tuple(2 * layers.ZONE + n for n in (3, 1, 2)[3 - n_dims :]), 1e-3)

    def rough(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(grid.shape, generator=random, dtype=torch.float64)

    relaxation = fit_relaxation(1.3, (150e3, 300e3), TRIAL_STEP) if n_mechanisms else None
    axes = tuple(layers.layer(n, grid.spacing, TRIAL_STEP, 1500.0, 150e3) for n in grid.shape)
    scheme = assemble(
        grid,
        TRIAL_STEP,
        fit_stencil(1.2),
        axes,
        rough(1420, 1580) ** -2,
        rough(0, 0.04) if n_mechanisms else None,
        relaxation,
        rough(920, 1080) if is_dense else None,
    )
    patch = PATCH_WIDTH**n_dims
    nodes = torch.stack([torch.randperm(grid.n_cells, generator=random)[:patch] for _ in range(3)])
    weights = torch.randn(nodes.shape, generator=random, dtype=torch.float64)
    signals = torch.randn(1, 1, TRIAL_STEPS, generator=random, dtype=torch.float64)
    kernel = torch.randn(2, TRIAL_STEPS, generator=random, dtype=torch.complex128)
    cells = torch.arange(0, grid.n_cells, 3)
    index = torch.arange(3)
    return scheme, Shots(Sampling(nodes, weights), index[:2, None], signals, index, cells, kernel, 2)
