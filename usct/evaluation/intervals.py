"""Estimates that carry their interval and their number: proportions, and whatever the bootstrap can resample."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.95
"""Confidence level of every interval."""

N_RESAMPLES = 4999
"""How often the bootstrap draws; an interval's ends then scatter by about 2 % of its width."""

Z = float(special.ndtri(0.5 + LEVEL / 2))
"""Normal quantile of the confidence level."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""What is estimated, taken along the last axis of an array (..., n)."""


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval; NaN where it is not defined.

    Attributes:
        value: Of the sample.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: How many observations it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def text(self, form: str = "{:.2f}", factor: float = 1.0) -> str:
        """Value and interval for people, without n; a dash if there is no value."""
        if not math.isfinite(self.value):
            return "–"
        value, low, high = (form.format(factor * v) for v in (self.value, self.low, self.high))
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return f"{value} (no interval)"
        return f"{value} ({low} to {high})"


def median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median along the last axis."""
    return np.median(values, axis=-1)


def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean along the last axis."""
    return np.mean(values, axis=-1)


def wilson(successes: int, n: int) -> Estimate:
    """A proportion with Wilson's score interval, which holds for few cases and for none that failed.

    Args:
        successes: How many of them.
        n: Of how many.

    Returns:
        The proportion; NaN if n is 0.

    Raises:
        ValueError: If successes is not in 0 to n.

    References:
        Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n, got {successes} of {n}")
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share, shrink = successes / n, 1 + Z**2 / n
    middle = (share + Z**2 / (2 * n)) / shrink
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / shrink
    # At the ends the formula gives 0 and 1 up to rounding.
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Estimate(share, low, high, n)


def bootstrap(values: NDArray[np.float64], statistic: Statistic = median, seed: int = 0) -> Estimate:
    """A statistic with its bias-corrected and accelerated bootstrap interval.

    Values that are not finite are left out; the estimate's n says how many remained.

    Args:
        values: Independent observations, shape (n,).
        statistic: Taken along the last axis.
        seed: Of the resampling.

    Returns:
        The estimate; its interval is NaN for fewer than three observations, and the value itself where all
        resamples agree.

    References:
        Efron, J. Am. Stat. Assoc. 82 (1987) 171; Efron & Tibshirani, An Introduction to the Bootstrap (1993),
        section 14.3.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value = float(statistic(values))
    if n < 3:
        return Estimate(value, math.nan, math.nan, n)
    drawn = np.random.default_rng(seed).integers(n, size=(N_RESAMPLES, n))
    resampled = statistic(values[drawn])
    if np.ptp(resampled) == 0:
        return Estimate(value, value, value, n)
    # Ties count half, as a median of few cases often equals its resamples.
    below = np.mean(resampled < value) + 0.5 * np.mean(resampled == value)
    bias = special.ndtri(np.clip(below, 1 / N_RESAMPLES, 1 - 1 / N_RESAMPLES))
    without = statistic(np.array([np.delete(values, i) for i in range(n)]))
    departure = without.mean() - without
    spread = float(np.sum(departure**2))
    skew = 0.0 if spread == 0 else float(np.sum(departure**3)) / (6 * spread**1.5)
    shares = [special.ndtr(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-Z, Z)]
    low, high = np.quantile(resampled, shares)
    return Estimate(value, float(low), float(high), n)
