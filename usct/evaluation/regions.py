"""Where scores are taken: the object in the water, with and without its skin."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from usct.grid import Grid
from usct.medium import Medium

WATER_TOLERANCE = 2.0
"""Largest difference from the water that still counts as water [m/s]."""


def speed_on(grid: Grid, medium: Medium) -> NDArray[np.float64]:
    """Sound speed of a medium on a grid [m/s]."""
    return medium.resampled(grid).sound_speed.detach().cpu().double().numpy()


def background_speed(truth: Medium) -> float:
    """Sound speed of the surroundings [m/s]: the median over the outermost cells of the grid."""
    speed = truth.sound_speed.detach().cpu().double().numpy()
    border = np.ones(speed.shape, dtype=bool)
    border[(slice(1, -1),) * speed.ndim] = False
    return float(np.median(speed[border]))


def object_mask(truth: Medium, tolerance: float = WATER_TOLERANCE) -> torch.Tensor:
    """Find the cells of the object that lies in the water.

    These are the cells whose sound speed differs from that of the border of the grid by more than
    `tolerance`, of these the largest connected component (cells that share a face), and of that the
    holes filled, so that tissue which happens to be as fast as the water still counts.

    Args:
        truth: The medium that made the data.
        tolerance: Largest difference from the surroundings that counts as surroundings [m/s].

    Returns:
        Boolean map, shape truth.grid.shape; all false if nothing differs.

    Raises:
        ValueError: If `tolerance` is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must be >= 0 m/s, got {tolerance:g}")
    speed = truth.sound_speed.detach().cpu().double().numpy()
    components, n_components = ndimage.label(np.abs(speed - background_speed(truth)) > tolerance)
    if n_components == 0:
        return torch.zeros(truth.grid.shape, dtype=torch.bool)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return torch.from_numpy(ndimage.binary_fill_holes(components == sizes.argmax()))


def eroded(mask: torch.Tensor, depth: float, spacing: float) -> torch.Tensor:
    """Keep the cells that lie deeper than `depth` inside a region.

    The depth of a cell is its Euclidean distance to the nearest cell outside; whatever lies beyond the
    grid is outside.

    Args:
        mask: Boolean map of the region.
        depth: Thickness of the layer to take away [m].
        spacing: Distance between neighbouring cells [m].

    Returns:
        Boolean map of the same shape.
    """
    padded = np.pad(mask.cpu().numpy(), 1)
    distance = ndimage.distance_transform_edt(padded, sampling=spacing)
    return torch.from_numpy((distance > depth)[(slice(1, -1),) * mask.ndim])
