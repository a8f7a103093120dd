"""Places in a truth that are worth a close look: its lesions, or where it departs most from what surrounds it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from usct.evaluation.lesions import LESIONS
from usct.evaluation.regions import eroded, object_mask
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom

SURROUNDINGS = 2.2
"""Half the width of a close-up over the radius of the circle of the lesion's area."""

FEWEST_CELLS = 8
"""Half the width of a close-up is at least so many cells of the truth."""


@dataclass(frozen=True)
class Spot:
    """A place to look at closely.

    Attributes:
        name: For people.
        centre: (y, x) [m].
        half_width: Of the square close-up [m].
        outline: Boolean map of the lesion on the truth's grid, or None where nothing is outlined.
    """

    name: str
    centre: tuple[float, float]
    half_width: float
    outline: torch.Tensor | None = None

    def cells(self, grid: Grid) -> torch.Tensor:
        """Boolean map of the close-up's cells."""
        offset = (grid.points() - torch.tensor(self.centre, dtype=torch.float64)).abs()
        return (offset <= self.half_width).all(dim=-1)


def find_spots(truth: Medium | Phantom, most: int = 3) -> tuple[Spot, ...]:
    """Find what to look at closely.

    In a phantom with lesions these are the lesions, the largest of each kind first. Elsewhere they are the
    places inside the object where the sound speed departs most from its mean over a neighbourhood a quarter of
    the object wide.

    Args:
        truth: What made the data; a plane.
        most: How many places at most.

    Returns:
        The places; none if nothing stands out, or the truth is a volume.
    """
    medium = truth.medium if isinstance(truth, Phantom) else truth
    if medium.grid.n_dims != 2:
        return ()
    spots = _lesions(truth) if isinstance(truth, Phantom) else []
    return tuple(spots[:most]) if spots else tuple(_departures(medium, most))


def _lesions(phantom: Phantom) -> list[Spot]:
    """All lesions, the largest of each kind before any second one."""
    grid, found = phantom.medium.grid, []
    for index, tissue in enumerate(phantom.tissues):
        if tissue not in LESIONS:
            continue
        parts, n_parts = ndimage.label(phantom.labels.numpy() == index)
        areas = np.bincount(parts.ravel(), minlength=n_parts + 1)[1:]
        for rank, part in enumerate(np.argsort(-areas, kind="stable")):
            found.append((rank, -int(areas[part]), _outlined(tissue, parts == part + 1, grid)))
    return [spot for _, _, spot in sorted(found, key=lambda item: item[:2])]


def _outlined(name: str, inside: NDArray[np.bool_], grid: Grid) -> Spot:
    row, column = (float(n) for n in ndimage.center_of_mass(inside))
    radius = math.sqrt(float(inside.sum()) / math.pi) * grid.spacing
    half_width = max(SURROUNDINGS * radius, FEWEST_CELLS * grid.spacing)
    return Spot(name, _position(grid, row, column), half_width, torch.from_numpy(inside))


def _departures(truth: Medium, most: int) -> Iterator[Spot]:
    """Where the sound speed stands out, the strongest first, no two in one close-up."""
    mask, spacing = object_mask(truth), truth.grid.spacing
    width = 0.25 * 2 * math.sqrt(float(mask.sum()) / math.pi)  # in cells
    half_width = max(0.5 * width, FEWEST_CELLS) * spacing
    inside = eroded(mask, 0.25 * width * spacing, spacing).numpy()
    speed = truth.sound_speed.detach().cpu().double().numpy()
    departure = ndimage.gaussian_filter(speed, 0.1 * width) - ndimage.gaussian_filter(speed, 0.5 * width)
    strength = np.where(inside, np.abs(departure), 0.0)
    for number in range(most):
        row, column = (int(n) for n in np.unravel_index(int(strength.argmax()), strength.shape))
        if not strength[row, column] > 0:
            return
        spot = Spot(f"place {number + 1}", _position(truth.grid, row, column), half_width)
        yield spot
        strength[spot.cells(truth.grid).numpy()] = 0.0


def _position(grid: Grid, row: float, column: float) -> tuple[float, float]:
    """Coordinates of a fractional index [m]."""
    return (grid.origin[0] + row * grid.spacing, grid.origin[1] + column * grid.spacing)
