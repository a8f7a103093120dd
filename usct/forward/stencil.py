"""The dispersion-optimised, complex-symmetric 9-point Helmholtz stencil.

With the time factor exp(+i omega t) the operator stands for h^2 (div (1/rho) grad + k^2 / rho), where the
density rho is relative to the water's. It is stored as five maps, one coupling each: a node with itself
and with its neighbours to the east, south, south-east and south-west. The other four follow from A = A^T.

References:
    Jo, Shin & Suh, Geophysics 61 (1996) 529; Chen, Cheng, Feng & Wu, J. Appl. Math. (2013) 143735.
"""

import math
from dataclasses import dataclass

import torch

NEIGHBOURS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1))
"""Offsets (dy, dx) of the five stored couplings."""


@dataclass(frozen=True)
class Stencil:
    """Weights of the 9-point scheme.

    Attributes:
        straight: Share of the Laplacian taken along the node's own lines; the rest comes from the
            neighbouring lines [1].
        edge: Mass weight of each of the four edge neighbours [1].
        corner: Mass weight of each of the four corner neighbours [1].
    """

    straight: float
    edge: float
    corner: float

    @property
    def centre(self) -> float:
        """Mass weight of the node itself [1]."""
        return 1.0 - 4.0 * (self.edge + self.corner)

    def symbols(self, phase: torch.Tensor, angle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fourier symbols of -h^2 Laplacian and of the mass for plane waves.

        Args:
            phase: Wavenumber times spacing [rad].
            angle: Direction of travel [rad].

        Returns:
            Stiffness and mass symbols, broadcast shape of the arguments.
        """
        x, y = torch.cos(phase * torch.cos(angle)), torch.cos(phase * torch.sin(angle))
        own = 2 * (1 - x) + 2 * (1 - y)
        beside = 2 * (1 - x) * y + 2 * (1 - y) * x
        mass = self.centre + 2 * self.edge * (x + y) + 4 * self.corner * x * y
        return self.straight * own + (1 - self.straight) * beside, mass

    def source_factor(self, phase: float) -> float:
        """Ratio of the true amplitude of a radiated wave to the discrete one.

        The spread mass term makes a point source radiate waves whose amplitude is the inverse slope of
        the operator's symbol where it vanishes; a continuous medium has the slope -2 k.

        Args:
            phase: Wavenumber times spacing in the water around the elements [rad].
        """
        angle = torch.arange(32, dtype=torch.float64) * (torch.pi / 16)
        with torch.enable_grad():
            xi = torch.full_like(angle, phase).requires_grad_(True)
            stiffness, mass = self.symbols(xi, angle)
            (slope,) = torch.autograd.grad((phase**2 * mass - stiffness).sum(), xi)
        return float((slope / (-2 * phase)).mean())


def fit_stencil(slowest: float, fastest: float, frequency: float, spacing: float) -> Stencil:
    """Fit the weights to the range of points per wavelength that is really there.

    Minimises the relative error of k^2 over all directions and all wavelengths between the two speeds,
    a linear least-squares problem in the three weights.

    Args:
        slowest: Lowest sound speed of the medium [m/s].
        fastest: Highest sound speed of the medium [m/s].
        frequency: Frequency [Hz].
        spacing: Grid spacing [m].
    """
    short, long = (2 * math.pi * frequency * spacing / c for c in (slowest, fastest))
    middle = 0.5 * (short + long)
    short, long = max(short, 1.01 * middle), min(long, 0.99 * middle)
    phase = torch.linspace(long, short, 16, dtype=torch.float64)[:, None]
    angle = torch.linspace(0, math.pi / 4, 16, dtype=torch.float64)[None, :]
    x, y = torch.cos(phase * torch.cos(angle)), torch.cos(phase * torch.sin(angle))
    own = (2 * (1 - x) + 2 * (1 - y)) / phase**2
    beside = (2 * (1 - x) * y + 2 * (1 - y) * x) / phase**2
    matrix = torch.stack([own - beside, 4 - 2 * (x + y), 4 - 4 * x * y], dim=-1).reshape(-1, 3)
    weights = torch.linalg.lstsq(matrix, (1 - beside).reshape(-1, 1), driver="gelsd").solution.flatten()
    return Stencil(*weights.tolist())


def assemble(
    stencil: Stencil,
    squared_phase: torch.Tensor,
    stretch: tuple[torch.Tensor, torch.Tensor],
    buoyancy: torch.Tensor | None = None,
) -> torch.Tensor:
    """Assemble the operator on a grid whose rim is followed by zeros.

    Args:
        stencil: Weights.
        squared_phase: (omega h / c)^2 of every node, complex when lossy, shape (ny, nx) [1].
        stretch: Coordinate stretching s_y and s_x of the absorbing layer at nodes and half nodes, from
            half a cell before the first node to half a cell behind the last: shapes (2 ny + 1,), (2 nx + 1,).
        buoyancy: Water density over density, shape (ny, nx) [1]; None for a uniform density.

    Returns:
        Couplings in the order of NEIGHBOURS, shape (5, ny, nx), complex; entries that would reach
        beyond the grid are zero.
    """
    stretch_y, stretch_x = (s.to(squared_phase) for s in stretch)
    ny, nx = squared_phase.shape
    couplings = torch.zeros(5, ny, nx, dtype=squared_phase.dtype, device=squared_phase.device)
    padded = None
    if buoyancy is not None:
        padded = torch.nn.functional.pad(buoyancy[None], (1, 1, 1, 1), mode="replicate")[0]
    _add_stiffness(couplings, stencil.straight, stretch_y, stretch_x, padded)
    swapped = couplings.new_zeros(5, nx, ny)
    _add_stiffness(swapped, stencil.straight, stretch_x, stretch_y, None if padded is None else padded.T)
    for ours, theirs in ((0, 0), (1, 2), (2, 1), (3, 3)):
        couplings[ours] += swapped[theirs].T
    # The transpose of a south-west coupling based at (x, y) is one based at (y - 1, x + 1).
    couplings[4, :-1, 1:] += swapped[4, :-1, 1:].T
    mass = squared_phase * stretch_y[1::2, None] * stretch_x[None, 1::2]
    _add_mass(couplings, stencil, mass if buoyancy is None else mass * buoyancy)
    return couplings


def _add_stiffness(
    couplings: torch.Tensor,
    straight: float,
    stretch_y: torch.Tensor,
    stretch_x: torch.Tensor,
    buoyancy: torch.Tensor | None,
) -> None:
    """Subtract the bilinear form of -d/dx (s_y / s_x) d/dx, edges to the zero rim included.

    Differences along x are paired with those of their own line (weight `straight`) and, crosswise, with
    those of the two neighbouring lines (the rest): each pairing is symmetric, so their sum is.
    """
    _, ny, nx = couplings.shape
    own = (
        straight * stretch_y[1::2, None] / stretch_x[None, 0::2]
    )  # (ny, nx + 1): edges left of each node, and the last
    beside = 0.5 * (1 - straight) * stretch_y[2:-1:2, None] / stretch_x[None, 0::2]  # (ny - 1, nx + 1)
    if buoyancy is not None:
        on_edges = 0.5 * (buoyancy[1:-1, 1:] + buoyancy[1:-1, :-1])
        own = own * on_edges
        beside = beside * 0.5 * (on_edges[1:] + on_edges[:-1])
    couplings[0] -= own[:, :-1] + own[:, 1:]
    couplings[1, :, :-1] += own[:, 1:-1]
    couplings[2, :-1] -= beside[:, :-1] + beside[:, 1:]
    couplings[3, :-1, :-1] += beside[:, 1:-1]
    couplings[4, :-1, 1:] += beside[:, 1:-1]


def _add_mass(couplings: torch.Tensor, stencil: Stencil, mass: torch.Tensor) -> None:
    """Add the mass term; neighbours are coupled through the mean of the two nodes' values."""
    couplings[0] += stencil.centre * mass
    couplings[1, :, :-1] += 0.5 * stencil.edge * (mass[:, :-1] + mass[:, 1:])
    couplings[2, :-1] += 0.5 * stencil.edge * (mass[:-1] + mass[1:])
    couplings[3, :-1, :-1] += 0.5 * stencil.corner * (mass[:-1, :-1] + mass[1:, 1:])
    couplings[4, :-1, 1:] += 0.5 * stencil.corner * (mass[:-1, 1:] + mass[1:, :-1])


def apply_operator(couplings: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Multiply the assembled operator with fields, shape (ny, nx, ...); returns the same shape."""
    extra = (None,) * (field.ndim - 2)
    result = couplings[0][(..., *extra)] * field
    for coupling, (dy, dx) in zip(couplings[1:], NEIGHBOURS[1:], strict=True):
        here, there = _overlap(field.shape[0], field.shape[1], dy, dx)
        weight = coupling[here][(..., *extra)]
        result[here] += weight * field[there]
        result[there] += weight * field[here]
    return result


def apply_mass(stencil: Stencil, field: torch.Tensor) -> torch.Tensor:
    """Apply the constant mass stencil to fields, shape (ny, nx, ...), zero beyond the rim."""
    result = stencil.centre * field
    for weight, (dy, dx) in zip(
        (stencil.edge, stencil.edge, stencil.corner, stencil.corner), NEIGHBOURS[1:], strict=True
    ):
        here, there = _overlap(field.shape[0], field.shape[1], dy, dx)
        result[here] += weight * field[there]
        result[there] += weight * field[here]
    return result


def _overlap(ny: int, nx: int, dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the nodes that have a neighbour at (dy, dx), and of these neighbours."""
    here = (slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx)))
    there = (slice(dy, ny), slice(max(0, dx), nx + min(0, dx)))
    return here, there
