"""What cannot be computed, found out before it is tried; every refusal is an InputError."""

import math
import os
from collections.abc import Sequence

import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.medium import Medium

OBJECT_CONTRAST = 2.0
"""Difference from the water's sound speed by which the object is told from it [m/s]."""
LEAST_BYTES_PER_CELL = 1000
"""Memory that a factorisation takes at the very least."""


def check_simulation(medium: Medium, array: TransducerArray, frequencies: Sequence[float]) -> None:
    """Refuse frequencies and elements that cannot be simulated."""
    if not frequencies or not all(math.isfinite(f) and f > 0 for f in frequencies):
        raise InputError(f"frequencies are {list(frequencies)}; give at least one, each above 0 Hz")
    if medium.grid.n_dims != 2:
        raise InputError(
            "the phantom is three-dimensional; give a two-dimensional slice of it, or simulate with --engine time"
        )
    check_elements(medium, array)


def check_elements(medium: Medium, array: TransducerArray) -> None:
    """Refuse elements inside the object, or of other dimensions than it."""
    dims = medium.grid.n_dims, array.positions.shape[1]
    if dims[0] != dims[1]:
        raise InputError(
            f"the phantom has {dims[0]} dimensions and the array {dims[1]}; use a ring for a slice, and a cylinder or "
            "a hemisphere for a volume"
        )
    grid, water = medium.grid, water_of(medium)
    nodes = grid.fractional_index(array.positions).round().long()
    for number in grid.contains(array.positions).nonzero()[:, 0].tolist():
        speed = float(medium.sound_speed[tuple(nodes[number])])
        if abs(speed - water) > OBJECT_CONTRAST:
            place = ", ".join(f"{1e3 * x:.1f}" for x in array.positions[number].tolist())
            axes = ", ".join("zyx"[-grid.n_dims :])
            raise InputError(
                f"element {number} at ({axes}) = ({place}) mm lies inside the object ({speed:.0f} m/s, "
                f"the water {water:.0f}); use a larger radius"
            )


def check_size(
    array: TransducerArray, frequency: float, slowest: float, points_per_wavelength: float
) -> None:
    """Refuse a frequency whose grid cannot fit in memory, before anything is tried."""
    spacing = slowest / (frequency * points_per_wavelength)
    size = (array.positions.amax(dim=0) - array.positions.amin(dim=0)) / spacing
    need = float(size.prod()) * LEAST_BYTES_PER_CELL
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > memory:
        raise InputError(
            f"frequency {frequency / 1e6:g} MHz needs a grid of {size[0]:.0f} x {size[1]:.0f} cells, more than "
            f"{need / 1e9:.0f} GB of the machine's {memory / 1e9:.0f} GB; choose lower frequencies"
        )


def check_start(start: Medium, bounds: tuple[float, float]) -> None:
    """Refuse a start model that the bounds would change without a word."""
    low, high = float(start.sound_speed.min()), float(start.sound_speed.max())
    # Half a metre per second is left to a water speed or an interpolation that touches the bounds.
    if low < bounds[0] - 0.5 or high > bounds[1] + 0.5:
        raise InputError(
            f"bounds.sound_speed = {bounds[0]:g} to {bounds[1]:g} m/s does not hold the start model, "
            f"{low:.0f} to {high:.0f} m/s; widen it or give another start"
        )


def usable_device(name: str) -> torch.device:
    """The device of a setting, or the best there is for `auto`; refuse one that cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("it is neither a CPU nor a CUDA device")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {name!r} cannot be used ({reason}); choose auto, cpu or an existing cuda:N"
        ) from None
    return device


def water_of(medium: Medium) -> float:
    """Sound speed along the rim of a phantom, where the water is [m/s]."""
    inside = torch.zeros(medium.grid.shape, dtype=torch.bool)
    inside[(slice(1, -1),) * medium.grid.n_dims] = True
    return float(medium.sound_speed[~inside].median())
