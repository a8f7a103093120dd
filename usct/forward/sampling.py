"""Elements between grid nodes: sparse weights that sample, and by reciprocity excite, a wave field off the grid.

Around an element in water a field of one frequency is a sum of plane waves of one wavelength. The weights are
the smallest that sample every such wave exactly at the element's position, whatever its direction, from a
small patch of nodes; used as a source, they radiate the same in every direction. That is narrower and more
exact than a windowed sinc, which spends its nodes on wavelengths that are not there. Wavelengths a little
shorter and longer are sampled too, so that the weights hold to first order for a complex wavenumber (damped
data, lossy water) and for water of a somewhat different sound speed.
"""

from dataclasses import dataclass

import torch

from usct.grid import Grid

PATCH_WIDTH = 6
"""Nodes along each side of the patch around an element."""

N_DIRECTIONS = 48
DETUNING = 0.01
"""Relative distance of the two wavenumbers that are sampled from the given one."""

TIKHONOV = 1e-9
"""Ridge of the weights' least-squares problem, relative to its largest eigenvalue."""


@dataclass(frozen=True)
class Sampling:
    """Nodes and weights of every element.

    Attributes:
        nodes: Flat node index, shape (element, patch).
        weights: Value by which each node counts, shape (element, patch), float64 [1].
    """

    nodes: torch.Tensor
    weights: torch.Tensor

    def sample(self, field: torch.Tensor) -> torch.Tensor:
        """Sample fields, shape (node, column); returns shape (element, column)."""
        nodes, weights = self.nodes.to(field.device), self.weights.to(field)
        return torch.einsum("ep,epc->ec", weights, field[nodes])


def sample_elements(grid: Grid, positions: torch.Tensor, wavenumber: float) -> Sampling:
    """Weights for elements at arbitrary positions.

    Args:
        grid: Two-dimensional grid.
        positions: Element positions (y, x), shape (element, 2) [m].
        wavenumber: Real wavenumber in the water around the elements [rad/m].

    Raises:
        ValueError: If an element's patch of nodes does not fit in the grid.
    """
    index = grid.fractional_index(positions)
    corner = torch.floor(index).long() - (PATCH_WIDTH // 2 - 1)
    shape = torch.tensor(grid.shape)
    outside = ((corner < 0) | (corner + PATCH_WIDTH > shape)).any(dim=1)
    if outside.any():
        worst = int(outside.nonzero()[0])
        y, x = (1e3 * positions[worst]).tolist()
        raise ValueError(
            f"element {worst} at (y, x) = ({y:.1f}, {x:.1f}) mm lies outside the grid or within "
            f"{PATCH_WIDTH // 2} cells of its rim; use a larger grid"
        )
    steps = torch.stack(torch.meshgrid(*[torch.arange(PATCH_WIDTH)] * 2, indexing="ij"), dim=-1).reshape(
        -1, 2
    )
    patch = corner[:, None, :] + steps
    angle = torch.arange(N_DIRECTIONS, dtype=torch.float64) * (2 * torch.pi / N_DIRECTIONS)
    direction = torch.stack([torch.sin(angle), torch.cos(angle)])
    both = torch.cat([(1 - DETUNING) * direction, (1 + DETUNING) * direction], dim=1)
    waves = wavenumber * grid.spacing * both
    phase = (patch - index[:, None, :]) @ waves
    basis = torch.cat([torch.cos(phase), torch.sin(phase)], dim=2)
    wanted = torch.cat([torch.ones(2 * N_DIRECTIONS), torch.zeros(2 * N_DIRECTIONS)]).double()
    normal = basis @ basis.mT
    ridge = TIKHONOV * torch.linalg.matrix_norm(normal, ord=2)
    normal = normal + ridge[:, None, None] * torch.eye(normal.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(normal, basis @ wanted)
    return Sampling(patch[..., 0] * grid.shape[1] + patch[..., 1], weights)
