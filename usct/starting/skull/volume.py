"""A whole head, slice by slice, for simulations in three dimensions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.starting.skull.model import Head, placed
from usct.starting.skull.registration import Rigid

MOST_CELLS = 1e8
"""Of a volume; each takes 56 bytes while it is made."""


def stacked(
    head_at: Callable[[float], Head],
    motion: Rigid,
    plane: Grid,
    heights: tuple[float, float, float],
    water_sound_speed: float = 1500.0,
) -> Phantom:
    """The start model of a head as a volume: every slice goes where that in the plane of the ring does.

    Args:
        head_at: The head in the slice at a height above the lowest [m].
        motion: From its (y, x) to the ring's.
        plane: Grid of a slice of the model; cells are as high as they are wide.
        heights: Lowest, that of the ring's plane, which becomes z = 0, and highest [m].
        water_sound_speed: Around the head [m/s].

    Raises:
        ValueError: If that is one slice, or more cells than memory is likely to hold.
    """
    low, middle, high = heights
    n_cells = plane.n_cells * (high - low) / plane.spacing
    if n_cells < plane.n_cells:
        raise ValueError(
            f"slices over {1e3 * (high - low):g} mm make no volume of cells of {1e3 * plane.spacing:g} mm; give a "
            "series of more slices, or a slice without --volume"
        )
    if n_cells > MOST_CELLS:
        raise ValueError(f"a volume of {n_cells / 1e6:.0f} million cells is too large; use larger ones")
    slack = 1e-6 * plane.spacing
    below, above = (int((end + slack) // plane.spacing) for end in (middle - low, high - middle))
    steps = range(-below, above + 1)
    slices = [placed(head_at(middle + n * plane.spacing), motion, plane, water_sound_speed) for n in steps]
    grid = Grid((len(slices), *plane.shape), plane.spacing, (-below * plane.spacing, *plane.origin))
    speed, loss, density = (
        torch.stack([getattr(each.medium, name) for each in slices])
        for name in ("sound_speed", "attenuation", "density")
    )
    first = slices[below]
    medium = Medium(grid, speed, loss, density, reference_frequency=first.medium.reference_frequency)
    labels = torch.from_numpy(np.stack([each.labels.numpy() for each in slices]))
    return replace(first, medium=medium, labels=labels)
