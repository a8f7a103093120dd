"""Detection: the operating characteristic, its area, and what the area is worth."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from usct.evaluation.intervals import N_RESAMPLES, Estimate, Z


@dataclass(frozen=True)
class Roc:
    """Share of hits against share of false alarms as the threshold falls.

    Attributes:
        false_alarms: From 0 to 1, shape (threshold,).
        hits: From 0 to 1, shape (threshold,).
    """

    false_alarms: NDArray[np.float64]
    hits: NDArray[np.float64]


def roc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> Roc:
    """The empirical operating characteristic.

    Args:
        present: Ratings where there is something to find, higher for more certain, shape (m,).
        absent: Ratings where there is nothing, shape (n,).

    Returns:
        One point for each distinct rating, and the origin.

    Raises:
        ValueError: If a class is empty.

    References:
        Fawcett, Pattern Recognit. Lett. 27 (2006) 861.
    """
    if not len(present) or not len(absent):
        raise ValueError("both classes need ratings")
    thresholds = np.unique(np.concatenate([present, absent]))[::-1]
    hits = np.mean(np.asarray(present)[None] >= thresholds[:, None], axis=1)
    alarms = np.mean(np.asarray(absent)[None] >= thresholds[:, None], axis=1)
    return Roc(np.concatenate([[0.0], alarms]), np.concatenate([[0.0], hits]))


def auc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> float:
    """Area under the operating characteristic: how often something is rated above nothing, ties half.

    Returns:
        The area; NaN if a class is empty.

    References:
        Hanley & McNeil, Radiology 143 (1982) 29.
    """
    m, n = len(present), len(absent)
    if not m or not n:
        return math.nan
    ranks = stats.rankdata(np.concatenate([present, absent]))
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def delong(present: NDArray[np.float64], absent: NDArray[np.float64]) -> Estimate:
    """Area under the characteristic with DeLong's interval on the logit scale, for independent ratings.

    Returns:
        The area; its interval is NaN for a class of fewer than two, or where the classes part perfectly, because
        the variance is then estimated as zero.

    References:
        DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837; Sun & Xu, IEEE Signal Process. Lett. 21 (2014)
        1389 (midranks); Pepe, The Statistical Evaluation of Medical Tests (2003) (logit).
    """
    m, n = len(present), len(absent)
    area = auc(present, absent)
    if min(m, n) < 2 or area in (0.0, 1.0):
        return Estimate(area, math.nan, math.nan, m + n)
    everything = stats.rankdata(np.concatenate([present, absent]))
    of_present = (everything[:m] - stats.rankdata(present)) / n
    of_absent = 1 - (everything[m:] - stats.rankdata(absent)) / m
    error = math.sqrt(of_present.var(ddof=1) / m + of_absent.var(ddof=1) / n)
    middle, half = special.logit(area), Z * error / (area * (1 - area))
    return Estimate(area, float(special.expit(middle - half)), float(special.expit(middle + half)), m + n)


def clustered_auc(
    ratings: NDArray[np.float64], present: NDArray[np.bool_], clusters: NDArray[np.int64], seed: int = 0
) -> Estimate:
    """Area under the characteristic with a percentile interval from resampling whole clusters.

    Ratings of one phantom, patient or reader depend on each other; drawing all of them or none keeps that.

    Args:
        ratings: Higher for more certain, shape (n,).
        present: Where there is something to find, shape (n,).
        clusters: Which cluster each rating belongs to, shape (n,).
        seed: Of the resampling.

    Returns:
        The area; its n is the number of clusters. The interval is NaN for fewer than five of them, and where the
        classes part perfectly: no resample could part them less.

    References:
        Rutter, Acad. Radiol. 7 (2000) 413; Davison & Hinkley, Bootstrap Methods and their Application (1997),
        section 3.8.
    """
    area = auc(ratings[present], ratings[~present])
    names, index = np.unique(clusters, return_inverse=True)
    n = len(names)
    if n < 5 or not math.isfinite(area) or area in (0.0, 1.0):
        return Estimate(area, math.nan, math.nan, n)
    # A resample counts each cluster so many times; the area is then a weighted mean over all pairs of ratings.
    better = (ratings[present][:, None] > ratings[~present][None]) + 0.5 * (
        ratings[present][:, None] == ratings[~present][None]
    )
    of_present, of_absent = (np.eye(n)[:, index[part]] for part in (present, ~present))
    wins = of_present @ better @ of_absent.T
    pairs = of_present.sum(1)[:, None] * of_absent.sum(1)[None]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES).astype(float)
    total = np.einsum("bi,ij,bj->b", counts, pairs, counts, optimize=True)
    won = np.einsum("bi,ij,bj->b", counts, wins, counts, optimize=True)
    low, high = np.quantile(won[total > 0] / total[total > 0], (0.025, 0.975))
    return Estimate(area, float(low), float(high), n)
