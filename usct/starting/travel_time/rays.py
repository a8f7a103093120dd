"""Rays between elements, straight or bent, and the matrix that sums slowness along them."""

import numpy as np
import scipy.sparse

from usct.grid import Grid
from usct.starting.travel_time.eikonal import ArrivalFields

Matrix = scipy.sparse.csr_matrix

STEPS_PER_CELL = 1.0
"""Points on a ray for each cell that it crosses."""
LONGEST = 1.5
"""A bent ray that has gone this many times the straight way without arriving is given up."""


def straight(starts: np.ndarray, ends: np.ndarray, region: np.ndarray, grid: Grid) -> scipy.sparse.csr_matrix:
    """Lengths of straight rays in the cells of a region.

    Args:
        starts: Shape (ray, 2) [m].
        ends: Shape (ray, 2) [m].
        region: Boolean map of the cells that count, shape grid.shape.
        grid: Of the cells.

    Returns:
        Matrix (ray, cell of the region) [m]: times excess slowness [s/m] it gives delays [s].
    """
    lengths = np.linalg.norm(ends - starts, axis=1)
    n_steps = int(np.ceil(lengths.max(initial=grid.spacing) / grid.spacing * STEPS_PER_CELL))
    collected = _Collector(grid, region, len(starts))
    for n in range(n_steps):
        points = starts + (n + 0.5) / n_steps * (ends - starts)
        collected.add(np.arange(len(starts)), points, lengths / n_steps)
    return collected.matrix()


def bent(
    fields: ArrivalFields, numbers: np.ndarray, ends: np.ndarray, region: np.ndarray, grid: Grid
) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """Lengths of bent rays in the cells of a region; each runs down the steepest descent of arrival time.

    By Fermat's principle the matrix is the derivative of the first arrivals with respect to slowness.

    Args:
        fields: Arrivals from the sources.
        numbers: Source of each ray, shape (ray,).
        ends: Where each ray ends, shape (ray, 2) [m]; it is traced from there.
        region: Boolean map of the cells that count, shape grid.shape.
        grid: Of the cells.

    Returns:
        Matrix (ray, cell of the region) [m], and the rays' whole lengths (ray,) [m], NaN where one got lost.
    """
    step = fields.spacing / STEPS_PER_CELL
    sources = fields.sources[numbers]
    farthest = np.linalg.norm(ends - sources, axis=1).max(initial=step)
    collected = _Collector(grid, region, len(ends))
    lengths = np.full(len(ends), np.nan)
    active, points = np.arange(len(ends)), ends.copy()
    for n_steps in range(int(LONGEST * farthest / step)):
        left = sources[active] - points
        distance = np.linalg.norm(left, axis=1)
        near = distance <= 1.5 * step
        collected.add(active[near], (points + 0.5 * left)[near], distance[near])
        lengths[active[near]] = n_steps * step + distance[near]
        active, points = active[~near], points[~near]
        if not len(active):
            break
        halfway = points + 0.5 * step * fields.directions(numbers[active], points)
        collected.add(active, halfway, np.full(len(active), step))
        points = points + step * fields.directions(numbers[active], halfway)
    return collected.matrix(), lengths


class _Collector:
    """Gathers pieces of rays and spreads each over the four cells about its middle, as bilinear weights say."""

    def __init__(self, grid: Grid, region: np.ndarray, n_rays: int) -> None:
        self._grid, self._n_rays = grid, n_rays
        self._cells = np.full(region.shape, -1, dtype=np.int64)
        self._cells[region] = np.arange(int(region.sum()))
        self._n_cells = int(region.sum())
        self._rows: list[np.ndarray] = []
        self._columns: list[np.ndarray] = []
        self._values: list[np.ndarray] = []

    def add(self, rays: np.ndarray, points: np.ndarray, lengths: np.ndarray) -> None:
        """Add a piece of each of some rays: its middle (ray, 2) [m] and its length (ray,) [m]."""
        index = (points - np.array(self._grid.origin)) / self._grid.spacing
        base = np.floor(index).astype(np.int64)
        share = index - base
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            node = base + corner
            inside = ((node >= 0) & (node < self._cells.shape)).all(axis=1)
            cells = np.full(len(rays), -1, dtype=np.int64)
            cells[inside] = self._cells[tuple(node[inside].T)]
            use = cells >= 0
            weights = np.where(corner, share, 1 - share).prod(axis=1) * lengths
            self._rows.append(rays[use])
            self._columns.append(cells[use])
            self._values.append(weights[use])

    def matrix(self) -> scipy.sparse.csr_matrix:
        """What was gathered, shape (ray, cell)."""
        shape = (self._n_rays, self._n_cells)
        if not self._rows:
            return scipy.sparse.csr_matrix(shape)
        rows, columns, values = (np.concatenate(part) for part in (self._rows, self._columns, self._values))
        return scipy.sparse.csr_matrix((values, (rows, columns)), shape=shape)
