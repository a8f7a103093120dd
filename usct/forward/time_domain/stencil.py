"""Finite differences in space, the time step they allow, and the time step's error, which is removed exactly.

Leap-frog replaces -omega^2 by -(2/dt)^2 sin^2(omega' dt / 2) and changes nothing else. So the scheme at its own
angular frequency omega' = (2/dt) asin(omega dt / 2) acts exactly as continuous time does at omega, whatever the
step: every transform of what the scheme computes is taken at `scheme_frequency`. Space is all that is left to
approximate, and its weights are fitted to the wavelengths that are there.
"""

import cmath
import math
from dataclasses import dataclass

import numpy as np

HALF_WIDTH = 4
"""Neighbours on each side that the second difference reaches."""

FIRST = (2 / 3, -1 / 12)
"""Weights of the first difference at one and two nodes, of fourth order; used in the absorbing layers alone.

Two of them in a row reach as far as the second difference does.
"""

LEAST_POINTS_PER_WAVELENGTH = 3.5
STABLE_SHARE = 0.9
"""Time step taken by default, relative to the stability limit of a uniform medium.

The rest leaves room for losses, which quicken the fastest waves, and for steps of density.
"""

_N_FITTED = 64


@dataclass(frozen=True)
class Stencil:
    """A symmetric second difference along one axis, in units of the squared spacing.

    Attributes:
        weights: Weight of the node itself and of the neighbours at 1, 2, ... nodes on either side.
    """

    weights: tuple[float, ...]

    def symbol(self, phase: np.ndarray) -> np.ndarray:
        """What the difference makes of exp(i phase n), less its sign; phase^2 would be exact."""
        neighbours = enumerate(self.weights[1:], 1)
        return -self.weights[0] - 2 * sum(w * np.cos(n * phase) for n, w in neighbours)

    @property
    def largest(self) -> float:
        """Largest symbol, that of waves of two points per wavelength, since the weights alternate in sign."""
        return float(self.symbol(np.array(math.pi)))

    def stable_step(self, sound_speed: float, spacing: float, n_dims: int) -> float:
        """Largest time step that is stable in a uniform medium [s]."""
        return 2 * spacing / (sound_speed * math.sqrt(n_dims * self.largest))


def fit_stencil(largest_phase: float) -> Stencil:
    """Weights that keep the phase speed right for all wavenumbers up to one.

    Least squares of the symbol's relative error over the phase per cell, exact for long waves. A wave that
    runs at an angle has smaller phases along both axes, so that one axis is enough to look at.

    Args:
        largest_phase: Wavenumber times spacing of the shortest wave [rad].

    Raises:
        ValueError: If that wave has too few points to be sampled.

    References:
        Holberg, Geophys. Prospect. 35 (1987) 629; Liu, Geophys. J. Int. 197 (2014) 1033.
    """
    if not 0 < largest_phase <= 2 * math.pi / LEAST_POINTS_PER_WAVELENGTH * (1 + 1e-9):
        raise ValueError(
            f"largest_phase must lie above 0 and leave {LEAST_POINTS_PER_WAVELENGTH} points per wavelength, "
            f"got {largest_phase:g} rad"
        )
    # Chebyshev nodes make least squares nearly minimax. Phases are kept from vanishing, where rounding rules.
    node = np.cos(math.pi * (np.arange(_N_FITTED) + 0.5) / (2 * _N_FITTED))
    phase = max(largest_phase, 0.3) * node
    number = np.arange(1, HALF_WIDTH + 1)
    columns = 2 * (1 - np.cos(phase[:, None] * number)) / phase[:, None] ** 2
    # sum n^2 w_n = 1 makes long waves exact: the first weight follows from the others.
    free = columns[:, 1:] - columns[:, :1] * number[1:] ** 2
    others = np.linalg.lstsq(free, 1 - columns[:, 0], rcond=None)[0]
    sides = np.concatenate([[1 - float(others @ number[1:] ** 2)], others])
    return Stencil((-2 * float(sides.sum()), *sides.tolist()))


def scheme_frequency(omega: complex, step: float) -> complex:
    """Angular frequency at which leap-frog with a step [s] acts as continuous time does at omega [rad/s].

    References:
        Wang & Xu, Geophys. J. Int. 201 (2015) 1662.
    """
    return 2 / step * cmath.asin(0.5 * omega * step)
