"""What bone encloses in a medium, or the whole object where there is no bone."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from usct.assembly import BONE_SPEED
from usct.diagnostics.resolution import deepest
from usct.errors import InputError
from usct.grid import Grid, resample
from usct.medium import Medium
from usct.preflight import OBJECT_CONTRAST, water_of
from usct.units import MILLIMETRE

NEAR = 12 * MILLIMETRE
"""Depth below the rim of the inside at which detail near the rim is measured [m]."""


@dataclass(frozen=True)
class Inside:
    """Where an image is wanted.

    Attributes:
        grid: Of the medium.
        mask: Boolean of grid.shape.
        speed: Its median [m/s].
        water: Sound speed of the water [m/s].
        places: In the middle and near the rim, (y, x) each [m].
    """

    grid: Grid
    mask: torch.Tensor
    speed: float
    water: float
    places: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, medium: Medium) -> "Inside":
        """Of a medium.

        Raises:
            InputError: If nothing differs from the water.
        """
        inside = _inside(medium)
        middle = deepest(medium.grid, inside)
        places = (middle, _near_rim(medium.grid, inside, middle))
        speed = float(medium.sound_speed[inside].median())
        return cls(medium.grid, inside, speed, water_of(medium), places)

    @property
    def area(self) -> float:
        """[m^2]."""
        return float(self.mask.sum()) * self.grid.spacing**2

    def on(self, grid: Grid) -> torch.Tensor:
        """The inside on another grid, boolean of its shape."""
        return resample(self.mask.double(), self.grid, grid) > 0.5


def _inside(medium: Medium) -> torch.Tensor:
    """What bone encloses, or the object where there is no bone.

    Raises:
        InputError: If nothing differs from the water.
    """
    speed, water = medium.sound_speed, water_of(medium)
    bone = (speed > BONE_SPEED).numpy()
    inside = _largest(ndimage.binary_fill_holes(bone) & ~bone)
    if inside.sum() <= bone.sum() / 2:
        inside = _largest(np.asarray(ndimage.binary_fill_holes((speed - water).abs() > OBJECT_CONTRAST)))
    if not inside.any():
        raise InputError(
            "nothing in the medium differs from its water; give a head, a breast or another object"
        )
    return torch.from_numpy(inside)


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    found: np.ndarray = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]) if count else mask
    return found


def _near_rim(grid: Grid, inside: torch.Tensor, middle: tuple[float, float]) -> tuple[float, float]:
    """The place beside the middle that lies `NEAR` below the rim, or as near that as there is [m]."""
    depth = ndimage.distance_transform_edt(inside.numpy()) * grid.spacing
    row = round(float(grid.fractional_index(torch.tensor([middle], dtype=torch.float64))[0, 0]))
    columns = np.flatnonzero(inside[row].numpy())
    column = int(columns[::-1][np.abs(depth[row, columns] - NEAR)[::-1].argmin()])
    return float(grid.axis(0)[row]), float(grid.axis(1)[column])
