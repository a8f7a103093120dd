"""Statistics against published examples, brute force, and what the formulas promise over many samples."""

import math

import numpy as np
import pytest
from scipy import special, stats

from usct.evaluation.agreement import bland_altman, concordance, intraclass_correlation, repeatability
from usct.evaluation.intervals import bootstrap, mean, median, wilson
from usct.evaluation.methods import benjamini_hochberg, compare_methods, holm, sign_flip_p
from usct.evaluation.roc import auc, clustered_auc, delong, roc

RNG = np.random.default_rng(7)


def close(estimate, expected, tolerance=1e-9):
    found = (estimate.value, estimate.low, estimate.high)
    assert found == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("k", "n"), [(0, 100), (1, 24), (12, 24), (24, 24), (7, 7)])
def test_wilson_is_that_of_scipy(k, n):
    found = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    close(wilson(k, n), (k / n, found.low, found.high))


def test_wilson_of_nothing_and_of_nonsense():
    assert math.isnan(wilson(0, 0).value)
    with pytest.raises(ValueError, match="successes"):
        wilson(3, 2)


@pytest.mark.parametrize("statistic", [mean, median])
def test_bootstrap_is_that_of_scipy(statistic):
    values = RNG.lognormal(size=40)
    reference = {mean: np.mean, median: np.median}[statistic]
    found = stats.bootstrap((values,), reference, n_resamples=4999, rng=3, method="BCa").confidence_interval
    estimate = bootstrap(np.append(values, np.nan), statistic)
    assert estimate.n == 40
    # Two draws of 4999 resamples: the ends scatter by a few per cent of the width.
    width = found.high - found.low
    close(estimate, (reference(values), found.low, found.high), 0.06 * width)


def test_bootstrap_of_few():
    assert math.isnan(bootstrap(np.array([])).value)
    assert math.isnan(bootstrap(np.array([1.0, 2.0])).low)
    assert bootstrap(np.full(5, 2.0)).low == 2.0


def test_corrections_are_those_of_their_definitions():
    p = [0.01, 0.04, 0.03, math.nan, 0.005]
    # Holm by its definition: step down through m, m - 1, ... until one is not rejected.
    assert holm(p)[4] == pytest.approx(0.02)
    assert holm(p)[0] == pytest.approx(0.03)
    assert holm(p)[2] == holm(p)[1] == pytest.approx(0.06)
    assert math.isnan(holm(p)[3])
    made = [v for v in p if math.isfinite(v)]
    expected = stats.false_discovery_control(made)
    assert [v for v in benjamini_hochberg(p) if math.isfinite(v)] == pytest.approx(list(expected))


def test_paired_p_is_near_that_of_students_test_for_normal_differences():
    for shift in (0.0, 0.3, 0.6):
        d = RNG.normal(shift, 1.0, 60)
        expected = stats.ttest_1samp(d, 0).pvalue
        # Of 4999 resamples, p scatters by sqrt(p (1 - p) / 4999) < 0.0071; three of these, and the t's own error.
        assert sign_flip_p(d) == pytest.approx(expected, abs=0.03)


def test_paired_p_is_that_of_all_flips():
    d = RNG.lognormal(size=9) - 0.7
    flips = np.array(np.meshgrid(*[[-1, 1]] * 9)).reshape(9, -1)
    expected = np.mean(np.abs(d @ flips) >= abs(d.sum()) - 1e-12)
    assert sign_flip_p(d) == pytest.approx(expected, abs=0.025)


def test_one_outlier_does_not_hide_a_difference_that_all_pairs_have():
    assert sign_flip_p(np.append(np.linspace(4, 6, 22), 45.0)) < 0.001


def test_paired_p_holds_its_level():
    rejected = sum(sign_flip_p(RNG.normal(size=12), seed) < 0.05 for seed in range(300))
    assert stats.binomtest(rejected, 300, 0.05).pvalue > 1e-4


def test_methods_are_compared_on_common_cases_only():
    pixel = RNG.normal(5.0, 1.0, 30)
    tailored = pixel - 1.0 + 0.1 * RNG.normal(size=30)
    lost = np.where(np.arange(30) < 3, math.nan, pixel)
    found = compare_methods({"pixel": lost, "tailored": tailored, "siren": pixel})
    assert [(d.first, d.second) for d in found] == [
        ("pixel", "tailored"), ("pixel", "siren"), ("tailored", "siren")
    ]  # fmt: skip
    assert (found[0].difference.n, found[0].n_missing) == (27, 3)
    assert found[0].difference.low < 1.0 < found[0].difference.high + 0.1
    assert found[0].wins == 0
    assert found[1].p == 1.0
    assert found[0].p_holm >= found[0].p
    assert compare_methods({"pixel": pixel}) == ()
    with pytest.raises(ValueError, match="one value for each case"):
        compare_methods({"a": pixel, "b": pixel[:3]})


def tied_ratings(m=23, n=31):
    return np.round(RNG.normal(0.8, 1, m), 1), np.round(RNG.normal(0, 1, n), 1)


def test_area_is_mann_whitneys_and_that_below_the_curve():
    present, absent = tied_ratings()
    expected = stats.mannwhitneyu(present, absent).statistic / (len(present) * len(absent))
    assert auc(present, absent) == pytest.approx(expected)
    curve = roc(present, absent)
    assert np.trapezoid(curve.hits, curve.false_alarms) == pytest.approx(expected)
    assert (curve.hits[-1], curve.false_alarms[-1]) == (1, 1)
    with pytest.raises(ValueError, match="both classes"):
        roc(present, np.array([]))


def test_delong_is_that_of_its_definition():
    present, absent = tied_ratings()
    better = np.array([[(x > y) + 0.5 * (x == y) for y in absent] for x in present])
    variance = better.mean(1).var(ddof=1) / len(present) + better.mean(0).var(ddof=1) / len(absent)
    area = better.mean()
    half = stats.norm.ppf(0.975) * math.sqrt(variance) / (area * (1 - area))
    close(delong(present, absent), (area, *special.expit(special.logit(area) + half * np.array([-1, 1]))))


def test_areas_that_cannot_have_an_interval():
    assert math.isnan(delong(np.array([2.0, 3.0]), np.array([1.0, 0.0])).low)
    assert math.isnan(delong(np.array([]), np.array([1.0])).value)
    ratings, present = np.arange(10.0), np.arange(10) > 4
    assert clustered_auc(ratings, present, np.arange(10)).value == 1
    assert math.isnan(clustered_auc(ratings, present, np.arange(10)).low)


def test_clustered_area_resamples_clusters():
    present, absent = tied_ratings(60, 60)
    ratings, truth = np.concatenate([present, absent]), np.arange(120) < 60
    alone = clustered_auc(ratings, truth, np.arange(120))
    plain = delong(present, absent)
    assert alone.high - alone.low == pytest.approx(plain.high - plain.low, rel=0.1)
    # Four copies of everything are no more evidence, if a cluster holds a rating and its copies.
    copied = clustered_auc(np.tile(ratings, 4), np.tile(truth, 4), np.tile(np.arange(120), 4))
    close(copied, (alone.value, alone.low, alone.high), 1e-12)


def test_clustered_area_is_that_of_resampling_by_hand():
    ratings, truth = RNG.normal(size=40), RNG.random(40) < 0.4
    clusters = RNG.integers(8, size=40)
    found, rng, areas = clustered_auc(ratings, truth, clusters), np.random.default_rng(1), []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(clusters == c) for c in rng.integers(8, size=8)])
        areas.append(auc(ratings[rows][truth[rows]], ratings[rows][~truth[rows]]))
    low, high = np.nanquantile(areas, (0.025, 0.975))
    # Two draws of some thousand resamples.
    close(found, (auc(ratings[truth], ratings[~truth]), low, high), 0.03)


def test_bland_altman_is_that_of_students_distribution():
    d = RNG.normal(2.0, 3.0, 25)
    reference = RNG.normal(1480, 20, 25)
    found = bland_altman(reference + d, reference)
    interval = stats.ttest_1samp(d, 0).confidence_interval()
    close(found.bias, (d.mean(), interval.low, interval.high))
    assert found.upper.value - found.lower.value == pytest.approx(2 * 1.959964 * d.std(ddof=1), rel=1e-6)
    assert bland_altman(reference[:2], reference[:2]) is None


def test_a_difference_that_grows_with_the_value_has_a_slope():
    reference = RNG.normal(1480, 20, 60)
    even, grows = (
        bland_altman(m, reference) for m in (reference + RNG.normal(0, 1, 60), 1.1 * reference - 148)
    )
    assert even.slope.low < 0 < even.slope.high or abs(even.slope.value) < 0.03
    # The mean of both grows by 1.05 for every unit, the difference by 0.1.
    assert grows.slope.value == pytest.approx(0.1 / 1.05, rel=1e-6)
    assert math.isnan(bland_altman(np.ones(5), np.ones(5)).slope.value)


def test_limits_of_agreement_cover_as_they_should():
    inside = 0
    for _ in range(400):
        found = bland_altman(RNG.normal(size=20), np.zeros(20))
        inside += found.upper.low <= stats.norm.ppf(0.975) <= found.upper.high
    assert stats.binomtest(inside, 400, 0.95).pvalue > 1e-4


SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def test_intraclass_correlations_are_those_of_shrout_and_fleiss():
    # Psychol. Bull. 86 (1979) 420, tables 2 and 4; intervals as McGraw & Wong's formulas give them elsewhere.
    found = intraclass_correlation(np.vstack([SHROUT_FLEISS, np.full(4, np.nan)]))
    close(found.agreement, (0.29, 0.02, 0.76), 5e-3)
    close(found.consistency, (0.71, 0.34, 0.95), 6e-3)
    assert found.agreement.n == 6
    assert math.isnan(intraclass_correlation(SHROUT_FLEISS[:2]).agreement.value)


def test_concordance_is_its_definition_and_covers_as_it_should():
    x = RNG.normal(size=30)
    y = x + 0.3 * RNG.normal(size=30) + 0.2
    expected = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert concordance(x, y).value == pytest.approx(expected)
    assert math.isnan(concordance(x, np.ones(30)).value)
    truth, inside = 2 * 0.8 / (1 + 1 + 0.2**2), 0
    for _ in range(400):
        a = RNG.normal(size=50)
        b = 0.8 * a + 0.6 * RNG.normal(size=50) + 0.2
        found = concordance(a, b)
        inside += found.low <= truth <= found.high
    # The interval is asymptotic: at n = 50 it may cover a little less or more than 95 %.
    assert 0.91 <= inside / 400 <= 0.985


def test_repeatability_is_the_pooled_spread():
    values = RNG.normal(1480, 20, 12)[:, None] + RNG.normal(0, 2.0, (12, 3))
    found = repeatability(values)
    within = math.sqrt(np.mean([np.var(row, ddof=1) for row in values]))
    assert found.within_sd.value == pytest.approx(within)
    assert found.coefficient.value == pytest.approx(2.7718 * within, rel=1e-4)
    assert found.within_sd.low < 2.0 < found.within_sd.high
    assert repeatability(values[:, :1]) is None


@pytest.mark.filterwarnings("ignore")  # it uses what pandas is about to drop
def test_statistics_agree_with_pingouin():
    pingouin = pytest.importorskip("pingouin", reason="an independent implementation, if it is there")
    pandas = pytest.importorskip("pandas")
    rows = [(s, r, SHROUT_FLEISS[s, r]) for s in range(6) for r in range(4)]
    table = pingouin.intraclass_corr(pandas.DataFrame(rows, columns=["s", "r", "v"]), "s", "r", "v")
    found = intraclass_correlation(SHROUT_FLEISS)
    table = table.assign(key=[str(t).replace(" ", "") for t in table["Type"]])
    for estimate, keys in (
        (found.agreement, ("ICC2", "ICC(A,1)")),
        (found.consistency, ("ICC3", "ICC(C,1)")),
    ):
        row = table[table["key"].isin(keys)].iloc[0]
        interval = row[[c for c in table.columns if c.startswith("CI95")][0]]
        # Its interval is rounded to two places.
        close(estimate, (row["ICC"], interval[0], interval[1]), 5.1e-3)
