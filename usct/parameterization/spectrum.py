"""Spectra over spatial wavenumber: what a ring array senses, and the kernels tailored to it.

Born scattering by a transmit and a receive on a full ring samples the object at one wavenumber each; their
density is the symbol h of J^H J. A stationary kernel with spectrum T gives the wave tangent kernel the
eigenvalues T h, so the spectrum decides what converges, and how fast.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

EDGE = 0.1
"""Width of a cosine edge, as a share of the wavenumber where it ends: a sharp one would ring."""


@dataclass(frozen=True)
class RadialSpectrum:
    """A non-negative function of the wavenumber's magnitude: linear between samples, zero beyond the last.

    Attributes:
        wavenumbers: Increasing, shape (n,) [rad/m].
        values: Shape (n,).
    """

    wavenumbers: torch.Tensor
    values: torch.Tensor

    def __post_init__(self) -> None:
        """Refuse what is no spectrum."""
        if self.wavenumbers.shape != self.values.shape or self.wavenumbers.ndim != 1:
            raise ValueError(
                f"wavenumbers {tuple(self.wavenumbers.shape)} and values {tuple(self.values.shape)} must match"
            )
        if not bool((self.wavenumbers.diff() > 0).all()):
            raise ValueError("wavenumbers of a spectrum must increase")
        if not bool((torch.isfinite(self.values) & (self.values >= 0)).all()):
            raise ValueError("values of a spectrum must be finite and not negative")

    def __call__(self, wavenumber: torch.Tensor) -> torch.Tensor:
        """Values at wavenumbers of any shape [rad/m]; below the first sample its value holds."""
        x, y = self.wavenumbers.to(wavenumber), self.values.to(wavenumber)
        if len(x) == 1:
            return torch.where(wavenumber <= x[0], y[0], 0.0)
        right = torch.searchsorted(x, wavenumber.contiguous()).clamp(1, len(x) - 1)
        share = ((wavenumber - x[right - 1]) / (x[right] - x[right - 1])).clamp(0, 1)
        inside = y[right - 1] * (1 - share) + y[right] * share
        return torch.where(wavenumber <= x[-1], inside, 0.0)

    @property
    def highest(self) -> float:
        """Highest wavenumber where the spectrum is not zero [rad/m]; zero if it is zero everywhere."""
        above = self.values.nonzero()
        return float(self.wavenumbers[above[-1, 0]]) if len(above) else 0.0


@dataclass(frozen=True)
class Tailoring:
    """What the data of a stage say about every spatial wavenumber of the change that is still missing.

    All for relative slowness, per cell of the image grid they were measured on.

    Attributes:
        gain: Symbol of J^H J.
        prior: Variance expected of the missing change, per Fourier coefficient of a unitary transform.
        noise: Variance of the noise in one real datum, on the scale of the objective.
        envelope: Where the change is expected, as a share of its standard deviation, shape of the image grid;
            None for everywhere alike.
        sampled: Share of the wavenumbers, shape (..., 2) [rad/m], that the instrument samples; None for all.
        admitted: Share of every wavenumber's change that waves can resolve and a step may bring; None for all that the
            prior holds.
    """

    gain: RadialSpectrum
    prior: RadialSpectrum
    noise: float
    envelope: torch.Tensor | None = None
    sampled: Callable[[torch.Tensor], torch.Tensor] | None = None
    admitted: RadialSpectrum | None = None


@dataclass(frozen=True)
class TissuePrior:
    """What is known beforehand of the change that one tissue needs.

    Attributes:
        pace: Its sound speed over the water's: its waves are longer by as much, and so is the finest detail that they
            resolve [1].
        deviation: Standard deviation of its log slowness about the start's; infinite where data alone tell [1].
        correlation: Distance over which the covariance falls to 1/e [m].

    Raises:
        ValueError: If one of them is not positive.
    """

    pace: float = 1.0
    deviation: float = math.inf
    correlation: float = math.inf

    def __post_init__(self) -> None:
        """Refuse what is no prior."""
        if not min(self.pace, self.deviation, self.correlation) > 0:
            raise ValueError(f"pace, deviation and correlation of a tissue must be above 0, got {self}")

    def variance(
        self, tailoring: Tailoring, wavenumbers: torch.Tensor, spacing: float, departed: float
    ) -> torch.Tensor:
        """Variance expected of the missing change, per Fourier coefficient of a unitary transform.

        It is what the data say, or the tissue's own where that is known: that of a random medium of pieces, which has
        the covariance deviation^2 exp(-r / correlation). Changes made one after the other are taken to be independent,
        so that their variances add up to the deviation's square.

        Args:
            tailoring: What the data say.
            wavenumbers: Of the result, any shape [rad/m].
            spacing: Of the image's grid [m].
            departed: Root mean square of the log slowness's departure from the start by now.

        References:
            Debye, Anderson & Brumberger, J. Appl. Phys. 28 (1957) 679: exponential covariance of random pieces.
        """
        prior, admitted = tailoring.prior, tailoring.admitted
        stretched = max(self.pace, 1.0) * wavenumbers
        if self.deviation == math.inf:
            edge = ((1 - stretched / max(prior.highest, 1e-300)) / EDGE).clamp(0, 1)
            return prior(wavenumbers) * (0.5 - 0.5 * torch.cos(math.pi * edge) if self.pace > 1 else 1.0)
        left = max(self.deviation**2 - departed**2, 0.0) * 2 * math.pi * (self.correlation / spacing) ** 2
        own = left / (1 + (wavenumbers * self.correlation).square()) ** 1.5
        return own * (prior(stretched) > 0 if admitted is None else admitted(stretched))


def ring_symbol(wavenumbers: torch.Tensor, wave: float, muted: float = 0.0) -> torch.Tensor:
    """Symbol of J^H J of a full ring, up to a constant: 1 / (K sqrt(4 k^2 - K^2)), zero beyond its edge.

    Derived for Born scattering in a uniform medium, transmits and receives evenly around the circle and far
    away: a pair at opening angle p samples the object at K = 2 k cos(p / 2).

    Args:
        wavenumbers: Object wavenumbers K, any shape [rad/m].
        wave: Wavenumber k of the waves [rad/m].
        muted: Receivers closer to the transmit than this angle are left out [rad].

    Returns:
        The symbol [m^2], same shape.
    """
    inside = (wavenumbers > 0) & (wavenumbers < 2 * wave * math.cos(muted / 2))
    product = wavenumbers * (4 * wave**2 - wavenumbers**2).clamp(min=0).sqrt()
    return torch.where(inside, 1.0 / torch.where(inside, product, 1.0), 0.0)


def tailored_spectrum(
    wave: float, sharpness: float = 0.5, reach: float = 0.5, edge: float = 0.9, n_samples: int = 256
) -> RadialSpectrum:
    """Kernel tailored to a ring: [K sqrt(4 k^2 - K^2)]^b exp(-K^2 / 2 c^2), cut at an edge; its maximum is one.

    With b = 1 it undoes the ring's symbol, so that all wavenumbers it admits converge together, as the ramp
    filter does in diffraction tomography; with b = 0 it is smooth, slow and forgiving.

    Args:
        wave: Wavenumber k of the waves [rad/m].
        sharpness: The exponent b, 0 to 1.
        reach: The roll-off c as a share of the diffraction limit 2 k.
        edge: Where it is cut, as a share of 2 k; the end of the ring's band rings.
        n_samples: Of the result.

    Raises:
        ValueError: If a share lies outside its range.
    """
    if not (0 <= sharpness <= 1 and reach > 0 and 0 < edge <= 1 and wave > 0):
        raise ValueError(
            f"sharpness must lie in 0 to 1, edge in 0 to 1, reach and wave above 0; "
            f"got {sharpness:g}, {edge:g}, {reach:g}, {wave:g}"
        )
    limit = 2 * wave
    wavenumbers = torch.linspace(0, edge * limit, n_samples, dtype=torch.float64)
    ramp = wavenumbers * (limit**2 - wavenumbers**2).clamp(min=0).sqrt()
    values = ramp**sharpness * torch.exp(-0.5 * (wavenumbers / (reach * limit)) ** 2)
    return RadialSpectrum(wavenumbers, values / values.max())


def gaussian_spectrum(width: float, n_samples: int = 256) -> RadialSpectrum:
    """exp(-K^2 / 2 width^2) up to four widths: the spectrum of Gaussian Fourier features [rad/m]."""
    wavenumbers = torch.linspace(0, 4 * width, n_samples, dtype=torch.float64)
    return RadialSpectrum(wavenumbers, torch.exp(-0.5 * (wavenumbers / width) ** 2))


def fresnel_wavenumber(wave: float, path: float) -> float:
    """Wavenumber of detail as wide as the first Fresnel zone, which controls travel times [rad/m].

    Args:
        wave: Wavenumber of the waves [rad/m].
        path: Distance between transmit and receive [m].
    """
    return math.sqrt(2 * math.pi * wave / path)


def lattice_vectors(shape: tuple[int, ...], spacing: float) -> torch.Tensor:
    """Wavenumbers of a real Fourier transform (rfftn) of a grid, shape (..., axis) [rad/m]."""
    axes = [2 * math.pi * torch.fft.fftfreq(n, spacing, dtype=torch.float64) for n in shape[:-1]]
    axes.append(2 * math.pi * torch.fft.rfftfreq(shape[-1], spacing, dtype=torch.float64))
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def lattice_wavenumbers(shape: tuple[int, ...], spacing: float) -> torch.Tensor:
    """Their magnitudes [rad/m]."""
    return torch.linalg.vector_norm(lattice_vectors(shape, spacing), dim=-1)
