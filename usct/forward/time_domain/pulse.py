"""The pulse that drives a simulation, and transforms of what it records."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from usct.forward.time_domain.stencil import scheme_frequency


@dataclass(frozen=True)
class Drive:
    """A short pulse without a mean that fills a band (Ricker's: the second derivative of a Gaussian).

    Results are divided by its spectrum, so that its shape does not matter; that it is short and leaves nothing
    at frequency zero lets the field die away soon.

    Attributes:
        peak: Frequency of the largest amplitude [Hz].
        step: Time step [s].
        precision: Relative size at which pulse and spectrum count as zero [1].
    """

    peak: float
    step: float
    precision: float

    @classmethod
    def of(cls, band: tuple[float, float], step: float, precision: float) -> "Drive":
        """The drive that is equally strong at both ends of a band [Hz]."""
        low, high = band
        ratio = high / low
        peak = low if ratio < 1 + 1e-6 else math.sqrt((high**2 - low**2) / (2 * math.log(ratio)))
        return cls(peak, step, precision)

    @property
    def delay(self) -> float:
        """Time of its middle [s]."""
        return math.sqrt(-math.log(self.precision)) / (math.pi * self.peak) * 1.1

    @property
    def highest(self) -> float:
        """Frequency beyond which nothing is left of it [Hz]."""
        ratio = math.sqrt(-math.log(self.precision))
        for _ in range(20):
            ratio = math.sqrt(1 + 2 * math.log(ratio) - math.log(self.precision))
        return ratio * self.peak

    def signal(self, n_steps: int) -> torch.Tensor:
        """The pulse at every step, shape (time,), float64."""
        lag = self.step * torch.arange(n_steps, dtype=torch.float64) - self.delay
        phase = (math.pi * self.peak * lag).square()
        return torch.where(lag.abs() <= self.delay, (1 - 2 * phase) * torch.exp(-phase), 0.0)

    def every(self, highest: float) -> int:
        """One step in how many is enough for transforms up to a frequency [Hz] without aliasing."""
        return max(1, int(1 / (self.step * (highest + self.highest))))


def transform_kernel(omegas: Sequence[complex], step: float, n_steps: int, every: int = 1) -> torch.Tensor:
    """Factors whose sum with the values at every step is what the scheme gives at some frequencies.

    Args:
        omegas: Angular frequencies, complex for damped data [rad/s].
        step: Time step [s].
        n_steps: Number of steps.
        every: Only one step in so many is taken.

    Returns:
        Shape (freq, time), complex128, without the factor dt.
    """
    turns = torch.tensor(
        [-1j * scheme_frequency(omega, step) * step for omega in omegas], dtype=torch.complex128
    )
    return every * torch.exp(turns[:, None] * torch.arange(n_steps, dtype=torch.float64))
