"""Perfectly matched absorbing layers by complex coordinate stretching."""

import math

import torch


def stretching(
    n_nodes: int, n_cells: int, spacing: float, angular_frequency: complex, sound_speed: float
) -> torch.Tensor:
    """Stretching factors s = 1 - i sigma / omega along one axis, at half nodes and nodes.

    The loss grows with the square of the depth and is set so that a wave at normal incidence returns
    with the amplitude exp(-2 n_cells), at least 1e-4 and at most 1e-7: stronger layers reflect more
    through their discretisation than they absorb.

    Args:
        n_nodes: Number of nodes along the axis, layers included.
        n_cells: Thickness of each layer in cells.
        spacing: Grid spacing [m].
        angular_frequency: Angular frequency, complex for damped data [rad/s].
        sound_speed: Sound speed in the layer [m/s].

    Returns:
        Shape (2 n_nodes + 1,), complex128; odd entries are the nodes.

    References:
        Berenger, J. Comput. Phys. 114 (1994) 185; Chew & Weedon, Microw. Opt. Technol. Lett. 7 (1994) 599.
    """
    position = torch.arange(-1, 2 * n_nodes, dtype=torch.float64) / 2
    depth = torch.maximum(n_cells - 0.5 - position, position - (n_nodes - n_cells - 0.5)).clamp(min=0)
    thickness = (n_cells + 0.5) * spacing
    returned = math.exp(-min(max(2.0 * n_cells, 9.2), 16.0))
    strongest = -1.5 * sound_speed * math.log(returned) / thickness
    loss = strongest * (depth / (n_cells + 0.5)) ** 2 if n_cells else torch.zeros_like(depth)
    return 1.0 - 1j * loss / angular_frequency
