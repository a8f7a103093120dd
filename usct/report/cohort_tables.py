"""Tables of a cohort's report: text, with interval and number beside every estimate."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usct.evaluation.agreement import BlandAltman, bland_altman, concordance, intraclass_correlation
from usct.evaluation.intervals import Estimate, bootstrap
from usct.evaluation.methods import benjamini_hochberg, compare_methods, holm
from usct.evaluation.observer import hotelling
from usct.evaluation.roc import Roc, clustered_auc, roc
from usct.report.cohort import Cohort, Run

Rows = list[list[str]]


@dataclass(frozen=True)
class Measure:
    """A score of a case as the tables show it.

    Attributes:
        label: With its unit.
        names: That lead to it.
        form: How it is written.
        factor: From SI to the unit shown.
        tail: Percentile that is shown beside the median: that of the bad cases.
    """

    label: str
    names: tuple[str, ...]
    form: str = "{:.2f}"
    factor: float = 1.0
    tail: int = 90


MEASURES = (
    Measure("RMSE [m/s]", ("rmse",)),
    Measure("RMSE of the start [m/s]", ("start_rmse",), "{:.1f}"),
    Measure("MAE [m/s]", ("mae",)),
    Measure("Bias [m/s]", ("bias",), "{:+.2f}"),
    Measure("SSIM [1]", ("ssim",), "{:.3f}", tail=10),
    Measure("PSNR [dB]", ("psnr",), "{:.1f}", tail=10),
    Measure("Resolved detail [mm]", ("correlation", "resolution"), "{:.2f}", 1e3),
    Measure("Factorisations", ("n_solves",), "{:.0f}"),
    Measure("Time [s]", ("seconds",), "{:.0f}"),
)
COMPARED = (MEASURES[0], MEASURES[4], MEASURES[6])


def summary_rows(cohort: Cohort) -> Rows:
    """Median of each score with its interval and n, and the 90th percentile, for each method."""
    rows = []
    for measure in MEASURES:
        row = [measure.label]
        for method in cohort.methods:
            values = cohort.values(method, *measure.names)
            estimate = bootstrap(values)
            tail = ""
            if estimate.n > 4:
                bad = measure.form.format(measure.factor * np.nanpercentile(values, measure.tail))
                tail = f"; P{measure.tail} {bad}"
            row.append(f"{estimate.text(measure.form, measure.factor)}{tail}; n = {estimate.n}")
        rows.append(row)
    failed = [cohort.failures(method) for method in cohort.methods]
    rows.append(["Failures [%]", *(f"{e.text('{:.1f}', 100)}; n = {e.n}" for e in failed)])
    return rows


def tissue_rows(cohort: Cohort, name: str) -> Rows:
    """Bias, MAE and RMSE of each tissue or depth and method: medians over cases."""
    parts = dict.fromkeys(str(part["name"]) for run in cohort.runs for part in run.items(name))
    rows = []
    for part in parts:
        for method in cohort.methods:
            found = [p for run in cohort.of(method) for p in run.items(name) if p["name"] == part]
            estimates = [bootstrap(_numbers(p[key] for p in found)) for key in ("bias", "mae", "rmse")]
            texts = [e.text(f) for e, f in zip(estimates, ("{:+.2f}", "{:.2f}", "{:.2f}"), strict=True)]
            rows.append([part, method, *texts, str(estimates[0].n)])
    return rows


LESION_BINS = ((0.0, 5e-3), (5e-3, 8e-3), (8e-3, 12e-3), (12e-3, math.inf))


def lesion_rows(cohort: Cohort) -> Rows:
    """Contrast recovery, CNR, errors of size and place by diameter and method: medians over lesions."""
    rows = []
    for low, high in LESION_BINS:
        for method in cohort.methods:
            found = [lesion for _, lesion in cohort.lesions(method) if low <= lesion["diameter"] < high]
            if not found:
                continue
            name = (
                f"{1e3 * low:g} to {1e3 * high:g} mm" if math.isfinite(high) else f"{1e3 * low:g} mm and over"
            )
            size = _numbers(v["measured_diameter"] for v in found) - _numbers(v["diameter"] for v in found)
            columns = (
                (_numbers(v["recovery"] for v in found), "{:.2f}", 1.0),
                (np.abs(_numbers(v["cnr"] for v in found)), "{:.1f}", 1.0),
                (
                    _numbers(v["mean"] for v in found) - _numbers(v["true_mean"] for v in found),
                    "{:+.1f}",
                    1.0,
                ),
                (size, "{:+.1f}", 1e3),
                (_numbers(v["centroid_error"] for v in found), "{:.2f}", 1e3),
                (_numbers(v["edge_width"] for v in found), "{:.1f}", 1e3),
            )
            texts = [bootstrap(values).text(form, factor) for values, form, factor in columns]
            n_known = int(np.isfinite(columns[0][0]).sum())
            rows.append([name, method, *texts, f"{len(found)} ({n_known})"])
    return rows


def comparison_rows(cohort: Cohort) -> Rows:
    """Paired differences of every two methods in the main scores, all corrected together by Holm and by BH."""
    found = [
        (measure, pair)
        for measure in COMPARED
        for pair in compare_methods({m: cohort.values(m, *measure.names) for m in cohort.methods})
    ]
    p_values = [pair.p for _, pair in found]
    rows = []
    for (measure, pair), p_holm, p_bh in zip(
        found, holm(p_values), benjamini_hochberg(p_values), strict=True
    ):
        signed = measure.form.replace("{:", "{:+")
        rows.append(
            [
                measure.label,
                f"{pair.first} − {pair.second}",
                pair.difference.text(signed, measure.factor),
                f"{pair.difference.n} pairs, {pair.n_missing} left out",
                "–" if math.isnan(pair.wins) else f"{pair.wins:.0%}",
                p_text(p_holm),
                p_text(p_bh),
            ]
        )
    return rows


def p_text(p: float) -> str:
    """A p-value for people."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


@dataclass(frozen=True)
class Detection:
    """How well lesions are found in the images of one method, or in the truth.

    Attributes:
        name: Of the method, or "truth".
        area: Under the curve, resampled by case.
        curve: The characteristic, or None if it could not be made.
        n_present: Places with a lesion.
        n_absent: Places without.
    """

    name: str
    area: Estimate
    curve: Roc | None
    n_present: int
    n_absent: int


def detections(cohort: Cohort) -> list[Detection]:
    """The numerical observer on each method's images, and on the truth where it has been seen."""
    found = [_detection(method, cohort.of(method), "responses") for method in cohort.methods]
    fullest = max(cohort.methods, key=lambda m: sum(bool(run.scores) for run in cohort.of(m)))
    return [*found, _detection("truth", cohort.of(fullest), "true_responses")]


def _detection(name: str, runs: Sequence[Run], key: str) -> Detection:
    patches = [(i, patch) for i, run in enumerate(runs) for patch in run.items("patches")]
    present = np.array([bool(patch["kind"]) for _, patch in patches], dtype=bool)
    cases = np.array([i for i, _ in patches], dtype=np.int64)
    n, m = int(present.sum()), int((~present).sum())
    observer = hotelling(np.array([p[key] for _, p in patches]), present, cases) if n and m else None
    if observer is None:
        return Detection(name, Estimate(math.nan, math.nan, math.nan, 0), None, n, m)
    ratings = observer.ratings
    return Detection(
        name, clustered_auc(ratings, present, cases), roc(ratings[present], ratings[~present]), n, m
    )


@dataclass(frozen=True)
class Agreement:
    """A quantity measured in the images of one method against the truth.

    Attributes:
        quantity: With its unit.
        method: Name of the method.
        measured: One value for each case or lesion.
        reference: Of the truth.
        analysis: Bias and limits, or None where there are too few.
    """

    quantity: str
    method: str
    measured: NDArray[np.float64]
    reference: NDArray[np.float64]
    analysis: BlandAltman | None

    def row(self) -> list[str]:
        """The numbers for people."""
        pairs = np.stack([self.measured, self.reference], axis=1)
        icc = (
            intraclass_correlation(pairs).agreement
            if len(pairs)
            else Estimate(math.nan, math.nan, math.nan, 0)
        )
        texts = ["–"] * 4
        if self.analysis is not None:
            found = (self.analysis.bias, self.analysis.lower, self.analysis.upper)
            texts = [e.text("{:+.2f}") for e in (*found, self.analysis.slope)]
        ccc = concordance(self.measured, self.reference).text("{:.3f}")
        n = int(np.isfinite(pairs).all(axis=1).sum())
        return [self.quantity, self.method, *texts, icc.text("{:.3f}"), ccc, str(n)]


def agreements(cohort: Cohort) -> Iterator[Agreement]:
    """Breast means, dense shares and lesion means of each method against the truth."""
    for method in cohort.methods:
        lesions = [lesion for _, lesion in cohort.lesions(method)]
        pairs = (
            ("Mean sound speed of the breast [m/s]", "mean_speed", 1.0),
            ("Dense share [%]", "dense_share", 100.0),
        )
        found = [
            (
                label,
                factor * cohort.values(method, "density", key),
                factor * cohort.values(method, "true_density", key),
            )
            for label, key, factor in pairs
        ]
        means = [_numbers(v[key] for v in lesions) for key in ("mean", "true_mean")]
        found.append(("Mean sound speed of a lesion [m/s]", means[0], means[1]))
        for label, measured, reference in found:
            yield Agreement(label, method, measured, reference, bland_altman(measured, reference))


COVARIATES: tuple[tuple[str, Callable[[Run], float]], ...] = (
    ("RMSE of the start", lambda run: run.number("start_rmse")),
    ("Rays of the start wrong by half a period", lambda run: run.number("start_skipped")),
    ("True dense share", lambda run: run.number("true_density", "dense_share")),
    ("Diameter of the object", lambda run: run.number("diameter")),
)


def covariate_rows(cohort: Cohort) -> Rows:
    """Spearman's correlation of the error with what may explain it."""
    rows = []
    for label, value in COVARIATES:
        for method in cohort.methods:
            pairs = np.array([(value(run), run.number("rmse")) for run in cohort.of(method)])
            pairs = pairs[np.isfinite(pairs).all(axis=1)]
            rows.append([label, method, spearman(pairs).text("{:+.2f}"), str(len(pairs))])
    return rows


def spearman(pairs: NDArray[np.float64]) -> Estimate:
    """Spearman's rank correlation of pairs, shape (n, 2), with the interval of Bonett & Wright.

    References:
        Bonett & Wright, Psychometrika 65 (2000) 23.
    """
    n = len(pairs)
    if n < 5 or np.ptp(pairs[:, 0]) == 0 or np.ptp(pairs[:, 1]) == 0:
        return Estimate(math.nan, math.nan, math.nan, n)
    r = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    if abs(r) > 1 - 1e-9:
        return Estimate(r, math.nan, math.nan, n)
    half = 1.959964 * math.sqrt((1 + r**2 / 2) / (n - 3))
    return Estimate(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), n)


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if v is None else float(v) for v in values])
