"""How fine the detail of an image is: at an edge, and from the correlation of two images by wavenumber."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

AGAINST_TRUTH = 0.5
"""Correlation with the truth down to which detail counts as resolved; the error has three times its energy then."""

BETWEEN_REPEATS = 1 / 7
"""Correlation of two images with independent noise that stands for 0.5 between their mean and the truth."""

RISE = 2 * math.sqrt(2) * float(special.erfinv(0.8))
"""Distance from 10 to 90 % of a Gaussian edge over its standard deviation."""


def edge_spread(values: NDArray[np.float64], distance: NDArray[np.float64], spacing: float) -> float:
    """Distance over which an edge rises from 10 to 90 %, from an error function fitted to all its cells.

    Args:
        values: Of cells near the edge, shape (n,).
        distance: Of the cells from the edge, positive inside, shape (n,) [m].
        spacing: Distance between neighbouring cells [m].

    Returns:
        The distance [m]; NaN for fewer than ten cells, no contrast, or an edge that is wider than what was seen.

    References:
        Samei, Flynn & Reimann, Med. Phys. 25 (1998) 102 (the edge oversampled by its distance); ICRU report 54
        (1996).
    """
    if len(values) < 10 or np.ptp(values) == 0:
        return math.nan
    reach = float(np.abs(distance).max())

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        rise = 0.5 * (1 + special.erf((distance - p[2] * reach) / (math.sqrt(2) * p[3] * reach)))
        return p[0] + p[1] * rise - values

    outer, inner = values[distance < 0], values[distance >= 0]
    if not len(outer) or not len(inner):
        return math.nan
    begin = np.array([outer.mean(), inner.mean() - outer.mean(), 0.0, 0.2])
    widest = 1 / RISE
    bounds = ([-np.inf, -np.inf, -0.5, 0.05 * spacing / reach], [np.inf, np.inf, 0.5, 2 * widest])
    fit = optimize.least_squares(misfit, begin, bounds=bounds, x_scale=[1.0, 1.0, 0.1, 0.1])
    return float(RISE * fit.x[3] * reach) if fit.success and fit.x[3] < widest else math.nan


def mtf_half(edge_width: float) -> float:
    """Spatial frequency at which the modulation of a Gaussian edge falls to one half [1/m].

    Args:
        edge_width: From 10 to 90 % [m].

    Returns:
        sqrt(ln 2 / 2) / (pi sigma) [1/m].

    References:
        The Fourier transform of a Gaussian line spread; ICRU report 54 (1996).
    """
    return math.sqrt(math.log(2) / 2) / (math.pi * edge_width / RISE)


@dataclass(frozen=True)
class RingCorrelation:
    """Correlation of two images by wavenumber.

    Attributes:
        frequencies: Middle of each ring, shape (ring,) [1/m].
        correlation: Shape (ring,) [1]; NaN where a ring holds nothing.
        counts: Independent Fourier coefficients of each ring, shape (ring,).
    """

    frequencies: NDArray[np.float64]
    correlation: NDArray[np.float64]
    counts: NDArray[np.int64]

    def resolution(self, threshold: float) -> float:
        """Half the period at which the correlation first falls below a threshold [m].

        Returns:
            The size of the smallest detail; half a period of the last ring if it never falls below, NaN if the
            first ring is below already.
        """
        known = np.isfinite(self.correlation)
        frequency, value = self.frequencies[known], self.correlation[known]
        below = np.flatnonzero(value < threshold)
        if not len(value) or (len(below) and below[0] == 0):
            return math.nan
        if not len(below):
            return 0.5 / float(frequency[-1])
        i = int(below[0])
        share = (value[i - 1] - threshold) / (value[i - 1] - value[i])
        return 0.5 / float(frequency[i - 1] + share * (frequency[i] - frequency[i - 1]))


def ring_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], spacing: float
) -> RingCorrelation:
    """Fourier ring correlation of two images, of two volumes the Fourier shell correlation.

    The images must fade to zero towards their borders, or the borders correlate too.

    Args:
        first: Shape (n, ...), each axis even or odd.
        second: The same shape.
        spacing: Distance between neighbouring cells [m].

    Returns:
        The correlation in rings one frequency step of the longest axis wide, up to the Nyquist frequency.

    Raises:
        ValueError: If the shapes differ.

    References:
        Saxton & Baumeister, J. Microsc. 127 (1982) 127; van Heel & Schatz, J. Struct. Biol. 151 (2005) 250;
        thresholds: Rosenthal & Henderson, J. Mol. Biol. 333 (2003) 721.
    """
    if first.shape != second.shape:
        raise ValueError(f"the images have shapes {first.shape} and {second.shape}")
    a, b = np.fft.fftn(first), np.fft.fftn(second)
    axes = np.meshgrid(*(np.fft.fftfreq(n, spacing) for n in first.shape), indexing="ij")
    step = 1 / (max(first.shape) * spacing)
    ring = np.rint(np.sqrt(sum(f**2 for f in axes)) / step).astype(np.int64)
    n_rings = int(0.5 / spacing / step) + 1

    def total(v: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(ring.ravel(), v.ravel(), minlength=n_rings)
        return sums[1:n_rings].astype(np.float64)

    cross, power = total((a * b.conj()).real), total(np.abs(a) ** 2) * total(np.abs(b) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(power > 0, cross / np.sqrt(power), math.nan)
    counts = (total(np.ones_like(a, dtype=float)) / 2).astype(np.int64)
    return RingCorrelation(step * np.arange(1, n_rings), correlation, counts)
