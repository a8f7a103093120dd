"""From continuous geometry to maps on any grid: sampled finely, averaged over each cell."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch

from usct.grid import Grid
from usct.medium import Medium

# Fine samples held at once: 8 MB for each map.
_BLOCK_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Properties:
    """Acoustic properties of each label, each of shape (label,).

    Attributes:
        sound_speed: [m/s].
        density: [kg/m^3].
        attenuation: At `reference_frequency` [Np/m].
        attenuation_power: Exponent of the power law of the whole medium [1].
        reference_frequency: [Hz].
    """

    sound_speed: np.ndarray
    density: np.ndarray
    attenuation: np.ndarray
    attenuation_power: float
    reference_frequency: float


@dataclass(frozen=True)
class Samples:
    """What an anatomy is made of at the nodes of a pair of axes, each map of shape (y, x).

    Attributes:
        labels: Tissue indices.
        sound_speed: [m/s].
        density: [kg/m^3].
        attenuation: [Np/m].
    """

    labels: np.ndarray
    sound_speed: np.ndarray
    density: np.ndarray
    attenuation: np.ndarray


class Anatomy(ABC):
    """Continuous geometry that can be asked at any point; label 0 is the surrounding water.

    Attributes:
        properties: Of each label.
        reach: Beyond this distance from the origin, on either axis, there is only water [m].
        detail: Sample distance that resolves the finest structure [m].
    """

    properties: Properties
    reach: float
    detail: float

    @abstractmethod
    def sample(self, y: np.ndarray, x: np.ndarray) -> Samples:
        """Labels and properties at the nodes of two evenly spaced axes, shapes (ny,) and (nx,) [m]."""


def look_up(properties: Properties, labels: np.ndarray) -> Samples:
    """The samples of a map of labels that have uniform properties."""
    maps = (properties.sound_speed, properties.density, properties.attenuation)
    return Samples(labels, *(values[labels] for values in maps))


def rasterise(anatomy: Anatomy, grid: Grid) -> tuple[torch.Tensor, Medium]:
    """Put an anatomy onto a grid.

    A node's label is that of the point where it is; its properties are means over its cell, slowness in
    place of sound speed, since travel times add up. The same anatomy on another grid therefore is the
    same object seen at another resolution.

    Args:
        anatomy: The geometry.
        grid: A 2-D grid.

    Returns:
        Labels, shape grid.shape, int16; and the medium, without maps of attenuation or density that
        would be zero or uniform.
    """
    # An odd number of samples, so that one of them is the node itself.
    n_fine = max(3, 2 * math.ceil((grid.spacing / anatomy.detail - 1) / 2 - 1e-9) + 1)
    axes = [axis.numpy() for axis in grid.axes()]
    rows, columns = (_within(axis, anatomy.reach + grid.spacing) for axis in axes)
    water = anatomy.properties
    labels = np.zeros(grid.shape, dtype=np.int16)
    speed = np.full(grid.shape, water.sound_speed[0])
    density = np.full(grid.shape, water.density[0])
    attenuation = np.full(grid.shape, water.attenuation[0])
    x = _refined(axes[1][columns], grid.spacing, n_fine)
    n_rows = max(1, _BLOCK_SAMPLES // max(1, n_fine * len(x)))
    for first in range(rows.start, rows.stop, n_rows) if len(x) else ():
        block = slice(first, min(first + n_rows, rows.stop)), columns
        samples = anatomy.sample(_refined(axes[0][block[0]], grid.spacing, n_fine), x)
        labels[block] = samples.labels[n_fine // 2 :: n_fine, n_fine // 2 :: n_fine]
        speed[block] = 1.0 / _cell_means(1.0 / samples.sound_speed, n_fine)
        density[block] = _cell_means(samples.density, n_fine)
        attenuation[block] = _cell_means(samples.attenuation, n_fine)
    medium = Medium(
        grid,
        torch.from_numpy(speed),
        torch.from_numpy(attenuation) if anatomy.properties.attenuation.any() else None,
        torch.from_numpy(density) if np.ptp(anatomy.properties.density) else None,
        anatomy.properties.attenuation_power,
        anatomy.properties.reference_frequency,
    )
    return torch.from_numpy(labels), medium


def _within(axis: np.ndarray, reach: float) -> slice:
    """The part of an increasing axis between -reach and reach."""
    return slice(int(np.searchsorted(axis, -reach)), int(np.searchsorted(axis, reach)))


def _refined(axis: np.ndarray, spacing: float, n_fine: int) -> np.ndarray:
    """Centres of the `n_fine` parts of each node's cell."""
    offsets = (np.arange(n_fine) - n_fine // 2) * (spacing / n_fine)
    return (axis[:, None] + offsets).reshape(-1)


def _cell_means(values: np.ndarray, n_fine: int) -> np.ndarray:
    """Means over blocks of n_fine x n_fine samples."""
    rows = values[::n_fine].copy()
    for i in range(1, n_fine):
        rows += values[i::n_fine]
    means = rows[:, ::n_fine].copy()
    for i in range(1, n_fine):
        means += rows[:, i::n_fine]
    return means / n_fine**2
