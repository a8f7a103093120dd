"""First-arrival times of waves in a medium: the eikonal equation, solved once for every element.

The travel time from an element at distance d is written as d tau, and fast marching finds the mean slowness tau,
which is smooth where the travel time itself has a kink: at the source. In water alone it is exact.
"""

from dataclasses import dataclass
from typing import final

import eikonalfm
import numpy as np
from scipy.ndimage import map_coordinates

from usct.grid import Grid

ORDER = 2
"""Of the finite differences."""
MARGIN_CELLS = 3
"""Cells beyond the outermost element, so that differences and interpolation find their neighbours."""


@final
@dataclass(frozen=True)
class ArrivalFields:
    """Mean slowness between each of several sources and every node of a grid that has the source on a node.

    Attributes:
        sources: Positions, shape (source, 2) [m].
        origins: Coordinates of the first node of each source's own grid, shape (source, 2) [m].
        spacing: Of the grids [m].
        mean_slowness: Shape (source, y, x), float32 [s/m].
    """

    sources: np.ndarray
    origins: np.ndarray
    spacing: float
    mean_slowness: np.ndarray

    def times(self, numbers: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Travel times from the sources of these `numbers` (ray,) to `points` (ray, 2) [m], shape (ray,) [s]."""
        distance = np.linalg.norm(points - self.sources[numbers], axis=1)
        return distance * self._sampled(self.mean_slowness, numbers, points)

    def directions(self, numbers: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Unit vectors towards the source along the ray, the steepest descent of time, shape (ray, 2)."""
        away = points - self.sources[numbers]
        tau = self._sampled(self.mean_slowness, numbers, points)
        # Of d tau: tau times the unit vector away from the source, plus d times the gradient of tau.
        gradient = tau[:, None] * away + (away**2).sum(axis=1)[:, None] * self._slopes(numbers, points)
        return -gradient / np.maximum(np.linalg.norm(gradient, axis=1), 1e-300)[:, None]

    def _slopes(self, numbers: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Gradient of the mean slowness by central differences over one cell each way, shape (ray, 2)."""
        slopes = []
        for axis in (0, 1):
            step = np.zeros(2)
            step[axis] = self.spacing
            ahead, behind = (self._sampled(self.mean_slowness, numbers, points + s * step) for s in (1, -1))
            slopes.append((ahead - behind) / (2 * self.spacing))
        return np.stack(slopes, axis=1)

    def _sampled(self, fields: np.ndarray, numbers: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Bilinear interpolation of each point's own field."""
        n_y, n_x = fields.shape[1:]
        index = (points - self.origins[numbers]) / self.spacing
        y = np.clip(index[:, 0], 0, n_y - 1.001)
        x = np.clip(index[:, 1], 0, n_x - 1.001)
        j, i = y.astype(np.int64), x.astype(np.int64)
        y, x = y - j, x - i
        flat, at = fields.reshape(-1), (numbers * n_y + j) * n_x + i
        upper = (1 - x) * flat[at] + x * flat[at + 1]
        lower = (1 - x) * flat[at + n_x] + x * flat[at + n_x + 1]
        return (1 - y) * upper + y * lower


def solve(slowness: np.ndarray, grid: Grid, water_slowness: float, sources: np.ndarray) -> ArrivalFields:
    """Solve the eikonal equation |grad T| = slowness for every source.

    Each source gets a grid of its own that covers all sources and is shifted by part of a cell, so that the
    source lies on a node.

    Args:
        slowness: Shape grid.shape [s/m]; beyond the grid lies water.
        grid: Of the slowness; its spacing is that of the solution.
        water_slowness: [s/m].
        sources: Element positions, shape (source, 2) [m].

    Raises:
        ValueError: If the slowness is not positive.

    References:
        Treister & Haber, J. Comput. Phys. 324 (2016) 210.
    """
    if not slowness.min() > 0:
        raise ValueError(f"slowness must be > 0, got {slowness.min():g}")
    h = grid.spacing
    low, high = sources.min(axis=0), sources.max(axis=0)
    shape = tuple(int(n) for n in np.ceil((high - low) / h) + 2 * MARGIN_CELLS + 1)
    nodes = np.round((sources - low) / h).astype(np.int64) + MARGIN_CELLS
    origins = sources - h * nodes
    fields = np.empty((len(sources), *shape), dtype=np.float32)
    excess = slowness - water_slowness
    for number, (node, origin) in enumerate(zip(nodes, origins, strict=True)):
        shift = (origin - np.array(grid.origin)) / h
        axes = [shift[axis] + np.arange(shape[axis]) for axis in (0, 1)]
        local = map_coordinates(excess, np.meshgrid(*axes, indexing="ij"), order=1, mode="constant")
        fields[number] = eikonalfm.factored_fast_marching(
            1.0 / (water_slowness + local), tuple(node.tolist()), (h, h), ORDER
        )
    return ArrivalFields(sources, origins, h, fields)
