"""The discrete wave equation: a medium turned into the coefficients of one leap-frog step.

One step, for a field v = p sqrt(rho_0 / rho), with L the sum of the axes' second differences in their layers:

    (1 + G) v_next = (2 - E) v - (1 - G) v_last + C (L v + sources) + kappa sum_l k_l (1 - e_l) d_l,
    d_l <- e_l d_l + g_l (v_next - v_last),    C = (dt / h)^2 / s^2,  E = C sqrt(rho) L(1 / sqrt(rho)).

With p in place of v, L v - (E / C) v is the sum over neighbours of w_ij (p_j - p_i) / sqrt(rho_j): neighbours are
coupled through the geometric mean of their densities, a constant pressure stays constant, and the operator stays
symmetric, all for one more coefficient. At an angular frequency omega (see `stencil` for why the step does not
matter) the equation is L v - (E / C) v + (omega h)^2 s^2(omega) v = - sources.
"""

import math
from dataclasses import dataclass

import torch

from usct.forward.time_domain.layers import Layer
from usct.forward.time_domain.relaxation import Relaxation
from usct.forward.time_domain.stencil import HALF_WIDTH, Stencil
from usct.grid import Grid


@dataclass(frozen=True)
class Scheme:
    """Coefficients of a step; maps have the shape of the padded grid, float64, and may require gradients.

    Attributes:
        grid: Layers included.
        step: Time step dt [s].
        stencil: Second difference along an axis.
        layers: Absorbing layers of every axis.
        stable_share: Largest stable step as a share of `step`; below 1 the scheme is unstable [1].
        gain: C / (1 + G).
        keep: (2 - E) / (1 + G), or None for 2 everywhere.
        past: (1 - G) / (1 + G), or None for 1 everywhere.
        feed: kappa / (1 + G), or None without attenuation.
        relaxation: Mechanisms of attenuation, or None.
    """

    grid: Grid
    step: float
    stencil: Stencil
    layers: tuple[Layer, ...]
    stable_share: float
    gain: torch.Tensor
    keep: torch.Tensor | None = None
    past: torch.Tensor | None = None
    feed: torch.Tensor | None = None
    relaxation: Relaxation | None = None

    @property
    def source_gain(self) -> float:
        """What makes a source of unit weight a point source of unit strength: h^(2 - dim)."""
        return self.grid.spacing ** (2 - self.grid.n_dims)

    def stretching(self, omega: complex) -> torch.Tensor:
        """Product of the axes' stretchings at omega [rad/s], shape of the grid, complex128."""
        product = torch.ones((), dtype=torch.complex128)
        for axis in self.layers:
            product = product[..., None] * axis.stretching(omega)
        return product


def assemble(
    grid: Grid,
    step: float,
    stencil: Stencil,
    layers: tuple[Layer, ...],
    squared_slowness: torch.Tensor,
    strength: torch.Tensor | None,
    relaxation: Relaxation | None,
    density: torch.Tensor | None,
) -> Scheme:
    """Coefficients of a step.

    Args:
        grid: Layers included.
        step: Time step [s].
        stencil: Second difference.
        layers: Absorbing layers.
        squared_slowness: That of the fastest waves, before any relaxation [s^2/m^2].
        strength: kappa, or None without attenuation [1].
        relaxation: Mechanisms that go with it.
        density: Any multiple of it, or None where it is uniform.
    """
    gain = (step / grid.spacing) ** 2 / squared_slowness
    diagonal = torch.full(grid.shape, grid.n_dims * stencil.weights[0], dtype=torch.float64)
    potential = None if density is None else density.sqrt() * laplacian(density.rsqrt(), stencil)
    if potential is not None:
        diagonal = diagonal - potential
    stable_share = stability(gain.detach(), diagonal.detach(), stencil)
    keep = None if potential is None else 2 - gain * potential
    if strength is None or relaxation is None:
        return Scheme(grid, step, stencil, layers, stable_share, gain, keep)
    instant = strength * relaxation.instant
    divisor = 1 + instant
    keep = (2 if keep is None else keep) / divisor
    return Scheme(
        grid,
        step,
        stencil,
        layers,
        stable_share,
        gain / divisor,
        keep,
        (1 - instant) / divisor,
        strength / divisor,
        relaxation,
    )


def laplacian(values: torch.Tensor, stencil: Stencil) -> torch.Tensor:
    """Sum of second differences along all axes, values continued evenly beyond the rim."""
    result = torch.zeros_like(values)
    for dim, n in enumerate(values.shape):
        index = torch.arange(n)
        result = result + stencil.weights[0] * values
        for number in range(1, HALF_WIDTH + 1):
            for side in (-number, number):
                result = result + stencil.weights[number] * values.index_select(
                    dim, (index + side).clamp(0, n - 1)
                )
    return result


def stability(step_gain: torch.Tensor, diagonal: torch.Tensor, stencil: Stencil) -> float:
    """Largest step that is surely stable, as a share of the present one.

    The row sums of C (L - E / C) bound its eigenvalues, which leap-frog wants to be 4 at most.
    """
    sides = 2 * diagonal.ndim * sum(abs(weight) for weight in stencil.weights[1:])
    return math.sqrt(4 / float((step_gain * (diagonal.abs() + sides)).max()))
