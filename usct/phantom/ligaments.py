"""Cooper's ligaments: the walls of a bent Voronoi diagram."""

import numpy as np
from scipy.spatial import cKDTree

from usct.phantom.fields import Lattice, smooth


def ligament_distance(
    lattice: Lattice,
    region: np.ndarray,
    cell_size: float,
    bend: float,
    streams: tuple[np.random.Generator, np.random.Generator],
) -> np.ndarray:
    """Distance to the nearest wall between the cells of a Voronoi diagram in bent coordinates.

    Args:
        lattice: Where to evaluate it.
        region: Boolean map of the nodes of interest, shape (n, n).
        cell_size: Typical size of a cell [m].
        bend: Standard deviation of the displacement that bends the walls [m].
        streams: Random numbers for the cells' centres and for the bending.

    Returns:
        Shape (n, n), float32 [m]; large outside the region.
    """
    cells, bending = streams
    half = lattice.axis[-1] + 4 * bend
    n = int(np.ceil(2 * half / cell_size))
    corners = np.stack(np.meshgrid(*2 * (np.arange(n),), indexing="ij"), axis=-1).reshape(-1, 2)
    centres = (corners + cells.uniform(0, 1, corners.shape)) * cell_size - n * cell_size / 2
    shifts = [bend * lattice.gaussian_field(bending, smooth(1.2 * cell_size)) for _ in range(2)]
    rows, columns = np.nonzero(region)
    points = np.stack(
        [lattice.axis[rows] + shifts[0][region], lattice.axis[columns] + shifts[1][region]], axis=1
    )
    distances, nearest = cKDTree(centres).query(points, k=2)
    apart = np.linalg.norm(centres[nearest[:, 0]] - centres[nearest[:, 1]], axis=1)
    walls = np.full(region.shape, cell_size, dtype=np.float32)
    # Exact distance to the perpendicular bisector, so that walls are equally thick at every angle.
    walls[region] = (distances[:, 1] ** 2 - distances[:, 0] ** 2) / (2 * apart)
    return walls
