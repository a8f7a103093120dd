"""Elements between grid nodes for pulses: points or pistons that sample, and excite, a band of wavelengths.

The weights of `forward.sampling` are made for one frequency. These sample every plane wave exactly (in the least
squares sense) whose wavelength in water lies in a band, whatever its direction, and also in three dimensions; an
element of finite width is the mean over points on its face, which gives it its directivity.
"""

import math
from dataclasses import dataclass

import torch

from usct.errors import InputError
from usct.forward.sampling import DETUNING, TIKHONOV, Sampling
from usct.grid import Grid

PATCH_WIDTH = 6
N_DIRECTIONS = {2: 24, 3: 80}
N_WAVENUMBERS = 5
"""Wavenumbers within the band at which waves are sampled."""


@dataclass(frozen=True)
class Faces:
    """Elements that are not points: strips in two dimensions, discs in three.

    Attributes:
        width: Width or diameter of the face [m].
        normals: Direction in which each element looks, shape (element, dim) [1].
    """

    width: float
    normals: torch.Tensor

    def __post_init__(self) -> None:
        """Refuse faces without extent or direction."""
        if not (math.isfinite(self.width) and self.width > 0):
            raise ValueError(f"width must be > 0 m, got {self.width:g}")
        if not (torch.linalg.vector_norm(self.normals, dim=1) > 0).all():
            raise ValueError("every normal must have a length above 0")

    def offsets(self, spacing: float) -> torch.Tensor:
        """Points on every face relative to its centre, about a node apart, shape (element, point, dim) [m]."""
        normals = torch.nn.functional.normalize(self.normals.double(), dim=1)
        n = max(2, math.ceil(self.width / spacing))
        along = self.width * ((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5)
        if normals.shape[1] == 2:
            tangent = torch.stack([-normals[:, 1], normals[:, 0]], dim=1)
            return along[None, :, None] * tangent[:, None, :]
        helper = torch.eye(3, dtype=torch.float64)[normals.abs().argmin(dim=1)]
        first = torch.nn.functional.normalize(torch.linalg.cross(normals, helper), dim=1)
        second = torch.linalg.cross(normals, first)
        u, v = (x.reshape(-1) for x in torch.meshgrid(along, along, indexing="ij"))
        inside = u**2 + v**2 <= 0.25 * self.width**2
        u, v = u[inside, None], v[inside, None]
        return u * first[:, None, :] + v * second[:, None, :]


def sample_band(
    grid: Grid, positions: torch.Tensor, wavenumbers: tuple[float, float], faces: Faces | None = None
) -> Sampling:
    """Weights for elements at arbitrary positions, good for a band of wavenumbers.

    Args:
        grid: Two- or three-dimensional grid.
        positions: Shape (element, dim) [m].
        wavenumbers: Smallest and largest wavenumber in the water around the elements [rad/m].
        faces: What elements that are not points look like.

    Returns:
        Nodes and weights, shape (element, patch); a face has a patch for each of its points.

    Raises:
        InputError: If an element's patch of nodes does not fit in the grid.
    """
    if faces is None:
        return _sample_points(grid, positions, wavenumbers)
    points = positions.double()[:, None, :] + faces.offsets(grid.spacing)
    n_elements, n_points, n_dims = points.shape
    each = _sample_points(grid, points.reshape(-1, n_dims), wavenumbers)
    weights = each.weights.reshape(n_elements, -1) / n_points
    return Sampling(each.nodes.reshape(n_elements, -1), weights)


def _sample_points(grid: Grid, positions: torch.Tensor, wavenumbers: tuple[float, float]) -> Sampling:
    index = grid.fractional_index(positions.double())
    corner = torch.floor(index).long() - (PATCH_WIDTH // 2 - 1)
    _check_inside(grid, positions, corner)
    ranges = [torch.arange(PATCH_WIDTH, dtype=torch.float64)] * grid.n_dims
    steps = torch.cartesian_prod(*ranges)
    low, high = (1 - DETUNING) * wavenumbers[0], (1 + DETUNING) * wavenumbers[1]
    lengths = grid.spacing * torch.linspace(low, high, N_WAVENUMBERS, dtype=torch.float64)
    waves = (lengths[:, None, None] * _directions(grid.n_dims)).reshape(-1, grid.n_dims)
    weights = _fit(steps, index - corner, waves)
    strides = torch.tensor([math.prod(grid.shape[d + 1 :]) for d in range(grid.n_dims)])
    return Sampling(((corner[:, None, :] + steps.long()) * strides).sum(dim=-1), weights)


def _check_inside(grid: Grid, positions: torch.Tensor, corner: torch.Tensor) -> None:
    outside = ((corner < 0) | (corner + PATCH_WIDTH > torch.tensor(grid.shape))).any(dim=1)
    if outside.any():
        worst = int(outside.nonzero()[0])
        place = ", ".join(f"{1e3 * x:.1f}" for x in positions[worst].tolist())
        raise InputError(
            f"a point of an element at ({place}) mm lies outside the grid or within {PATCH_WIDTH // 2} cells of "
            "its rim; use a larger grid"
        )


def _fit(steps: torch.Tensor, places: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
    """Smallest weights of the nodes of a patch, `steps`, that sample plane waves at `places`; lengths in cells."""
    between = ((steps[:, None, :] - steps) @ waves.T).cos().sum(dim=-1)
    ridge = TIKHONOV * float(torch.linalg.matrix_norm(between, ord=2))
    factor = torch.linalg.cholesky(between + ridge * torch.eye(len(steps), dtype=torch.float64))
    parts = places.split(max(1, 2**22 // (len(steps) * len(waves))))
    wanted = [((steps - part[:, None, :]) @ waves.T).cos().sum(dim=-1) for part in parts]
    return torch.cholesky_solve(torch.cat(wanted).T, factor).T


def _directions(n_dims: int) -> torch.Tensor:
    """Unit vectors spread evenly over half the circle or sphere; their opposites add nothing; shape (n, dim)."""
    n = N_DIRECTIONS[n_dims]
    number = torch.arange(n, dtype=torch.float64)
    if n_dims == 2:
        angle = torch.pi * number / n
        return torch.stack([torch.sin(angle), torch.cos(angle)], dim=1)
    height = (number + 0.5) / n
    angle = torch.pi * (3 - math.sqrt(5)) * number
    radius = (1 - height**2).sqrt()
    return torch.stack([height, radius * torch.sin(angle), radius * torch.cos(angle)], dim=1)
