"""Absorbing layers for the time domain: perfectly matched by recursive convolution, second order in time.

Along each axis the second difference D2 u becomes (1 + q)(D2 u + D1 q D1 u), where D1 is a first difference and
q the convolution psi <- b psi + a (.) in time. At a frequency that is multiplication by q = a / (1 - b / z), and
1 / (1 + q) is the stretching s of the coordinate. D2 + D1 q D1 is symmetric, so that the whole operator times the
product of all s is symmetric too, step by step and without error: reciprocity holds to rounding.
"""

import cmath
import math
from dataclasses import dataclass

import torch

from usct.forward.time_domain.stencil import scheme_frequency

ZONE = 16
"""Nodes of a layer at each end of an axis, of which the two innermost do not yet absorb."""

REFLECTION = 1e-5
"""Amplitude, at normal incidence and for a perfect discretisation, that a layer returns."""

POWER = 2.0
"""Growth of the loss with depth."""


@dataclass(frozen=True)
class Layer:
    """Coefficients of the recursive convolution at the nodes of one axis.

    Attributes:
        memory: b, shape (n,) [1].
        gain: a, zero outside the layers, shape (n,) [1].
        step: Time step [s].
    """

    memory: torch.Tensor
    gain: torch.Tensor
    step: float

    def stretching(self, omega: complex) -> torch.Tensor:
        """Stretching s at the angular frequency omega [rad/s], shape (n,), complex128."""
        z = cmath.exp(1j * scheme_frequency(omega, self.step) * self.step)
        return 1.0 / (1.0 + self.gain / (1.0 - self.memory / z))


def layer(
    n_nodes: int, spacing: float, step: float, sound_speed: float, frequency: float, offset: float = 0.0
) -> Layer:
    """Layers at both ends of an axis.

    Args:
        n_nodes: Nodes along the axis, layers included.
        spacing: Grid spacing [m].
        step: Time step [s].
        sound_speed: In the layers [m/s].
        frequency: Below it the layers turn from stretching to damping, which keeps what is evanescent and
            slow from lingering [Hz].
        offset: Of the points from the nodes, in cells.

    References:
        Roden & Gedney, Microw. Opt. Technol. Lett. 27 (2000) 334; Komatitsch & Martin, Geophysics 72 (2007)
        SM155; Pasalic & McGarry, SEG Expanded Abstracts (2010) 2925.
    """
    position = torch.arange(n_nodes, dtype=torch.float64) + offset
    absorbing = ZONE - 2
    depth = torch.maximum(absorbing - position, position - (n_nodes - 1 - absorbing)).clamp(min=0)
    share = (depth / absorbing).clamp(max=1)
    strongest = -0.5 * (POWER + 1) * sound_speed * math.log(REFLECTION) / (absorbing * spacing)
    loss = strongest * share**POWER
    shift = math.pi * frequency * (1 - share)
    memory = torch.exp(-(loss + shift) * step)
    gain = torch.where(depth > 0, loss / (loss + shift).clamp(min=1e-30) * (memory - 1), 0.0)
    return Layer(memory, gain, step)
