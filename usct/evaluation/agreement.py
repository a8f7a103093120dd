"""Agreement of two ways to measure, and how well one measurement can be repeated."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usct.evaluation.intervals import LEVEL, Estimate, Z


@dataclass(frozen=True)
class BlandAltman:
    """How far one way to measure lies from another, and between which limits.

    Attributes:
        bias: Mean difference.
        lower: Limit below which 2.5 % of differences are expected.
        upper: Limit above which 2.5 % are expected.
        sd: Standard deviation of the differences.
        slope: Of the differences over the means of both [1]; where it is not zero, the limits do not suit all values
            alike. NaN where all means are the same.
    """

    bias: Estimate
    lower: Estimate
    upper: Estimate
    sd: float
    slope: Estimate


def bland_altman(measured: NDArray[np.float64], reference: NDArray[np.float64]) -> BlandAltman | None:
    """Bias and 95 % limits of agreement, with the intervals of all three.

    Args:
        measured: One value for each subject, shape (n,).
        reference: The other, shape (n,). Pairs that are not finite are left out.

    Returns:
        The analysis, or None for fewer than three pairs.

    References:
        Bland & Altman, Lancet 327 (1986) 307; Stat. Methods Med. Res. 8 (1999) 135, section 2 (standard errors) and 3
        (slope).
    """
    d = np.asarray(measured, dtype=float) - reference
    finite = np.isfinite(d)
    middle, d = (0.5 * (np.asarray(measured, dtype=float) + reference))[finite], d[finite]
    n = len(d)
    if n < 3:
        return None
    bias, sd = float(d.mean()), float(d.std(ddof=1))
    t = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1))
    error = sd / math.sqrt(n)
    error_of_limit = sd * math.sqrt(1 / n + Z**2 / (2 * (n - 1)))

    def around(value: float, half: float) -> Estimate:
        return Estimate(value, value - half, value + half, n)

    lower, upper = (around(bias + sign * Z * sd, t * error_of_limit) for sign in (-1, 1))
    slope = Estimate(math.nan, math.nan, math.nan, n)
    if np.ptp(middle) > 0:
        line = stats.linregress(middle, d)
        slope = around(float(line.slope), float(stats.t.ppf(0.5 + LEVEL / 2, n - 2) * line.stderr))
    return BlandAltman(around(bias, t * error), lower, upper, sd, slope)


def concordance(measured: NDArray[np.float64], reference: NDArray[np.float64]) -> Estimate:
    """Lin's concordance correlation: how near the pairs lie to the line of equality.

    Args:
        measured: One value for each subject, shape (n,).
        reference: The other, shape (n,). Pairs that are not finite are left out.

    Returns:
        The coefficient with its interval by Fisher's transform; NaN for fewer than four pairs or no spread.

    References:
        Lin, Biometrics 45 (1989) 255, corrected in 56 (2000) 324.
    """
    x, y = (np.asarray(v, dtype=float) for v in (measured, reference))
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    n = len(x)
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(math.nan, math.nan, math.nan, n)
    covariance = float(np.mean((x - x.mean()) * (y - y.mean())))
    shift = float(x.mean() - y.mean())
    value = 2 * covariance / (x.var() + y.var() + shift**2)
    r = covariance / (x.std() * y.std())
    if abs(r) > 1 - 1e-12:
        return Estimate(value, math.nan, math.nan, n)
    u2 = shift**2 / (x.std() * y.std())
    c, r2 = value, r**2
    # Lin's eq. for the variance of the transformed coefficient, as corrected in 2000.
    variance = (
        (1 - r2) * c**2 / ((1 - c**2) * r2)
        + 2 * c**3 * (1 - c) * u2 / (r * (1 - c**2) ** 2)
        - c**4 * u2**2 / (2 * r2 * (1 - c**2) ** 2)
    ) / (n - 2)
    half = Z * math.sqrt(max(variance, 0.0))
    return Estimate(value, math.tanh(math.atanh(c) - half), math.tanh(math.atanh(c) + half), n)


@dataclass(frozen=True)
class Icc:
    """Intraclass correlations of single measurements.

    Attributes:
        agreement: ICC(2,1): raters are a sample and their offsets count as errors.
        consistency: ICC(3,1): the raters are these, and their offsets do not count.
    """

    agreement: Estimate
    consistency: Estimate


def intraclass_correlation(values: NDArray[np.float64]) -> Icc:
    """Intraclass correlations ICC(2,1) and ICC(3,1).

    Args:
        values: Shape (subject, rater); subjects with a value that is not finite are left out.

    Returns:
        The correlations with their intervals; NaN for fewer than three subjects, two raters, or no spread.

    References:
        Shrout & Fleiss, Psychol. Bull. 86 (1979) 420; McGraw & Wong, Psychol. Methods 1 (1996) 30, table 7.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values).all(axis=1)]
    n, k = values.shape
    nothing = Estimate(math.nan, math.nan, math.nan, n)
    if n < 3 or k < 2:
        return Icc(nothing, nothing)
    rows, columns, grand = values.mean(axis=1), values.mean(axis=0), values.mean()
    msr = k * float(np.sum((rows - grand) ** 2)) / (n - 1)
    msc = n * float(np.sum((columns - grand) ** 2)) / (k - 1)
    rest = values - rows[:, None] - columns[None] + grand
    mse = float(np.sum(rest**2)) / ((n - 1) * (k - 1))
    if msr == 0 or mse == 0:
        return Icc(nothing, nothing)
    return Icc(_agreement(msr, msc, mse, n, k), _consistency(msr, mse, n, k))


def _consistency(msr: float, mse: float, n: int, k: int) -> Estimate:
    freedom, ratio = (n - 1) * (k - 1), msr / mse
    low = ratio / float(stats.f.ppf(0.5 + LEVEL / 2, n - 1, freedom))
    high = ratio * float(stats.f.ppf(0.5 + LEVEL / 2, freedom, n - 1))
    value, low, high = ((f - 1) / (f + k - 1) for f in (ratio, low, high))
    return Estimate(value, low, high, n)


def _agreement(msr: float, msc: float, mse: float, n: int, k: int) -> Estimate:
    value = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    # Satterthwaite's degrees of freedom of the denominator.
    a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * msc + b * mse) ** 2 / ((a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1)))
    above = float(stats.f.ppf(0.5 + LEVEL / 2, n - 1, freedom))
    below = float(stats.f.ppf(0.5 + LEVEL / 2, freedom, n - 1))
    shared = k * msc + (k * n - k - n) * mse
    low = n * (msr - above * mse) / (above * shared + n * msr)
    high = n * (below * msr - mse) / (shared + n * below * msr)
    return Estimate(value, low, high, n)


@dataclass(frozen=True)
class Repeatability:
    """How much a measurement changes when it is made again.

    Attributes:
        within_sd: Standard deviation within a subject, in the unit of the values.
        coefficient: Repeatability coefficient: two measurements differ by less in 95 % of pairs.
    """

    within_sd: Estimate
    coefficient: Estimate


def repeatability(values: NDArray[np.float64]) -> Repeatability | None:
    """Within-subject standard deviation and repeatability coefficient from repeated measurements.

    Args:
        values: Shape (subject, repeat); subjects with a value that is not finite are left out.

    Returns:
        Both with intervals by the chi-squared distribution, n the number of subjects; None where nothing was
        repeated.

    References:
        Bland & Altman, Stat. Methods Med. Res. 8 (1999) 135, section 6; Raunig et al., Stat. Methods Med. Res. 24
        (2015) 27.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values).all(axis=1)]
    n, k = values.shape
    if n < 1 or k < 2:
        return None
    freedom = n * (k - 1)
    within = math.sqrt(float(values.var(axis=1, ddof=1).mean()))
    low, high = (
        within * math.sqrt(freedom / float(stats.chi2.ppf(share, freedom)))
        for share in (0.5 + LEVEL / 2, 0.5 - LEVEL / 2)
    )
    reach = Z * math.sqrt(2)
    return Repeatability(
        Estimate(within, low, high, n), Estimate(reach * within, reach * low, reach * high, n)
    )
