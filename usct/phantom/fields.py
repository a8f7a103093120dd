"""Random fields and level maps on a fixed lattice, and their interpolation to any axes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.sparse
import torch

from usct.grid import resampling_matrix


@dataclass(frozen=True)
class Lattice:
    """The square lattice on which an anatomy's fields are drawn, whatever grid they end up on.

    Attributes:
        n: Nodes along each axis.
        spacing: [m].
    """

    n: int
    spacing: float

    @property
    def axis(self) -> np.ndarray:
        """Node coordinates, centred at zero, shape (n,) [m]."""
        return (np.arange(self.n) - (self.n - 1) / 2) * self.spacing

    def gaussian_field(
        self, rng: np.random.Generator, amplitude: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Periodic Gaussian random field of zero mean and unit variance.

        Args:
            rng: Source of n x n normal numbers.
            amplitude: Spectral amplitude as a function of spatial frequency [1/m]; any scale.

        Returns:
            Shape (n, n), float32.
        """
        frequency = np.hypot(
            scipy.fft.fftfreq(self.n, self.spacing)[:, None], scipy.fft.rfftfreq(self.n, self.spacing)
        )
        gain = np.zeros_like(frequency)
        gain[frequency > 0] = amplitude(frequency[frequency > 0])
        noise = scipy.fft.rfft2(rng.standard_normal((self.n, self.n), dtype=np.float32))
        field = scipy.fft.irfft2(noise * gain.astype(np.float32), s=(self.n, self.n))
        return field / field.std()

    def interpolation(self, axis: np.ndarray) -> scipy.sparse.csr_matrix:
        """Cubic interpolation along one axis to other evenly spaced coordinates [m], shape (m, n)."""
        return scipy.sparse.csr_matrix(
            resampling_matrix(torch.from_numpy(self.axis), torch.from_numpy(axis)).numpy().astype(np.float32)
        )


def smooth(length: float) -> Callable[[np.ndarray], np.ndarray]:
    """Spectral amplitude of a field with covariance exp(-r^2 / (2 length^2)) [m]."""
    return lambda frequency: np.exp(-((np.pi * length * frequency) ** 2))


def fractal(power: float, longest: float, shortest: float) -> Callable[[np.ndarray], np.ndarray]:
    """Spectral amplitude whose square falls like frequency^-power between two wavelengths [m]."""
    return lambda frequency: (
        (frequency**2 + longest**-2) ** (-power / 4) * np.exp(-0.5 * (shortest * frequency) ** 2)
    )
