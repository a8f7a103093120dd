"""Methods compared on the same cases: paired differences, their intervals, and p-values corrected for their number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from usct.evaluation.intervals import N_RESAMPLES, Estimate, bootstrap, mean


@dataclass(frozen=True)
class PairedDifference:
    """How one method differs from another on the cases that both have.

    Attributes:
        first: Name of a method.
        second: Name of the other.
        difference: Mean of first minus second, with its interval; its n is the number of pairs.
        p: That a mean difference at least as large appears where there is none, before correction.
        p_holm: The same, corrected for the number of comparisons by Holm's procedure.
        p_bh: Corrected by that of Benjamini and Hochberg.
        wins: Share of the pairs in which the first is lower.
        n_missing: Cases that lack one of the two or both.
    """

    first: str
    second: str
    difference: Estimate
    p: float
    p_holm: float
    p_bh: float
    wins: float
    n_missing: int


def compare_methods(values: Mapping[str, NDArray[np.float64]], seed: int = 0) -> tuple[PairedDifference, ...]:
    """Compare every two methods on the same cases.

    Args:
        values: A score of each method, shape (case,), in one order of cases; NaN where a case is missing.
        seed: Of the resampling.

    Returns:
        One comparison for each two methods; their p-values are corrected together.

    Raises:
        ValueError: If the methods have different numbers of cases.
    """
    if len({len(v) for v in values.values()}) > 1:
        raise ValueError("every method needs one value for each case")
    pairs = list(combinations(values, 2))
    differences = [np.asarray(values[a], dtype=float) - values[b] for a, b in pairs]
    raw = [sign_flip_p(d, seed) for d in differences]
    corrected = zip(pairs, differences, raw, holm(raw), benjamini_hochberg(raw), strict=True)
    found = []
    for (first, second), d, p, p_holm, p_bh in corrected:
        kept = d[np.isfinite(d)]
        wins = float(np.mean(kept < 0)) if len(kept) else math.nan
        estimate = bootstrap(kept, mean, seed)
        found.append(PairedDifference(first, second, estimate, p, p_holm, p_bh, wins, len(d) - len(kept)))
    return tuple(found)


def sign_flip_p(differences: NDArray[np.float64], seed: int = 0) -> float:
    """Two-sided p-value of paired differences that are as often positive as negative, by flipping their signs.

    Under the null hypothesis that the methods are exchangeable the test holds its level exactly, outliers or not.

    Args:
        differences: Of each pair, shape (n,); those that are not finite are left out.
        seed: Of the flips.

    Returns:
        The p-value, at least 1 / (number of flips + 1); NaN for fewer than three pairs.

    References:
        Fisher, The Design of Experiments (1935), section 21; the added ones: Phipson & Smyth, Stat. Appl. Genet.
        Mol. Biol. 9 (2010) 39.
    """
    d = np.asarray(differences, dtype=float)
    d = d[np.isfinite(d)]
    if len(d) < 3:
        return math.nan
    flips = np.random.default_rng(seed).integers(2, size=(N_RESAMPLES, len(d))) * 2 - 1
    # Rounding must not tell equal sums apart.
    reached = np.abs(flips @ d) >= abs(d.sum()) * (1 - 1e-12)
    return float((1 + np.sum(reached)) / (N_RESAMPLES + 1))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected so that the chance of any false finding stays below the level.

    Args:
        p_values: Of a family of tests; NaN marks a test that was not made and does not count.

    Returns:
        Corrected p-values in the same order.

    References:
        Holm, Scand. J. Stat. 6 (1979) 65.
    """
    return _corrected(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected so that the expected share of false findings stays below the level.

    Args:
        p_values: Of a family of independent or positively dependent tests; NaN marks one that was not made.

    Returns:
        Corrected p-values in the same order.

    References:
        Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289.
    """
    return _corrected(p_values, "bh")


def _corrected(p_values: Sequence[float], how: str) -> tuple[float, ...]:
    p = np.asarray(p_values, dtype=float)
    made = np.flatnonzero(np.isfinite(p))
    order, m = made[np.argsort(p[made], kind="stable")], len(made)
    rank = np.arange(m)
    if how == "holm":
        steps = np.maximum.accumulate((m - rank) * p[order])
    else:
        steps = np.minimum.accumulate((m / (rank + 1) * p[order])[::-1])[::-1]
    corrected = np.full(len(p), math.nan)
    corrected[order] = np.minimum(steps, 1.0)
    return tuple(float(value) for value in corrected)
