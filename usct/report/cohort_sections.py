"""Sections of a cohort's report: scores, pictures, resolution, kernels, failures."""

import math

import numpy as np

from usct.evaluation.intervals import bootstrap
from usct.report import cohort_figures as figures
from usct.report import cohort_tables as tables
from usct.report import cohort_words as words
from usct.report.cohort import Cohort, Run
from usct.report.cohort_parts import Picture, Section, Table
from usct.report.html import embedded

WORDS = {"done": "not scored", "failed": "no result", "missing": "not run"}


def overview(cohort: Cohort) -> Section:
    """Scores, tissues and depths."""
    preset = sorted(
        {
            str(run.scores["phantom"].get("tissue_preset", ""))
            for run in cohort.runs
            if isinstance(run.scores.get("phantom"), dict)
        }
        | {cohort.facts.get("tissue_preset", "")}
    )
    known = ", ".join(p for p in preset if p)
    return Section(
        "Summary",
        f"Tissue properties: {known}." if known else "Tissue properties: not stated in the results.",
        [
            Table(["Score (median over cases)", *cohort.methods], tables.summary_rows(cohort)),
            Table(
                ["Tissue", "Method", "Bias [m/s]", "MAE [m/s]", "RMSE [m/s]", "n"],
                tables.tissue_rows(cohort, "tissues"),
            ),
            Table(
                ["Depth", "Method", "Bias [m/s]", "MAE [m/s]", "RMSE [m/s]", "n"],
                tables.tissue_rows(cohort, "depths"),
            ),
        ],
        definition=words.OVERVIEW,
    )


def montage(cohort: Cohort) -> Section | None:
    """Pictures of the best, the median and the worst case of each method."""
    pictures = []
    for method in cohort.methods:
        for word, run in _extremes(cohort, method):
            result = run.result()
            if result is None:
                continue
            truth = cohort.truth(run.case)
            figure = figures.case_figure(run, result.medium, None if truth is None else truth.medium)
            alt = f"{method}, {word}: {run.case}, RMSE {run.number('rmse'):.2f} m/s"
            pictures.append(Picture(alt, embedded(figure)))
    if not pictures:
        return None
    return Section(
        "Best, median and worst",
        pictures=pictures,
        definition=words.MONTAGE,
    )


def _extremes(cohort: Cohort, method: str) -> list[tuple[str, Run]]:
    """Best, median and worst run of a method; of one or two cases, each once."""
    runs = sorted(
        (r for r in cohort.of(method) if math.isfinite(r.number("rmse"))), key=lambda r: r.number("rmse")
    )
    if not runs:
        return []
    places = {0: "best", len(runs) // 2: "median", len(runs) - 1: "worst"}
    if len(runs) == 1:
        return [("only case", runs[0])]
    return [(word, runs[i]) for i, word in sorted(places.items())]


def distributions(cohort: Cohort) -> Section | None:
    """Every case as a point."""
    if not any(run.scores for run in cohort.runs):
        return None
    pictures = []
    for measure in tables.COMPARED:
        values = [measure.factor * cohort.values(m, *measure.names) for m in cohort.methods]
        alt = f"{measure.label} of every case by method"
        pictures.append(Picture(alt, embedded(figures.distribution_figure(cohort, measure.label, values))))
    return Section(
        "Distributions",
        pictures=pictures,
        definition=words.DISTRIBUTIONS,
    )


def resolution(cohort: Cohort) -> Section | None:
    """Fourier ring correlation."""
    if not any(run.scores.get("correlation") for run in cohort.runs):
        return None
    picture = Picture("Fourier ring correlation with the truth", embedded(figures.correlation_figure(cohort)))
    return Section(
        "Resolution",
        pictures=[picture],
        definition=words.RESOLUTION,
    )


def kernels(cohort: Cohort) -> Section:
    """What the diagnoses say."""
    found = [(r.case, r.method, d) for r in cohort.runs if r.scores and (d := r.diagnosis()) is not None]
    finished = sum(bool(run.scores) for run in cohort.runs)
    said = f"{len(found)} of {finished} finished runs carry a diagnosis of their kernels."
    if not found:
        return Section("Kernels", said + " Nothing is shown; batches diagnose where diagnose.run is true.")
    rows = []
    for method in cohort.methods:
        of = [d.data_kernel for _, m, d in found if m == method]
        if of:
            numbers = [
                bootstrap(np.array([getattr(k, name) for k in of]))
                for name in ("degrees_of_freedom", "effective_rank", "decay_exponent")
            ]
            rows.append([method, *(e.text("{:.3g}") for e in numbers), str(len(of))])
    return Section(
        "Kernels",
        said,
        [Table(["Method", "Numbers determined", "Effective rank", "Decay exponent", "n"], rows)],
        [Picture("Eigenvalues of the wave tangent kernel by rank", embedded(figures.kernel_figure(found)))],
        words.KERNELS,
    )


def failures(cohort: Cohort) -> Section:
    """Runs that failed, and what the error goes along with."""
    rows = []
    for run in cohort.runs:
        if not run.scores:
            rows.append([run.case, run.method, f"{WORDS[run.status]}: {run.sentence}"])
        elif run.scores.get("is_failure"):
            why = (
                "cycle-skipped: " + f"{run.number('skipped'):.1%} of rays wrong by more than half a period"
                if (run.scores.get("is_skipped"))
                else "no better than its start"
            )
            rows.append(
                [
                    run.case,
                    run.method,
                    f"{why}; RMSE {run.number('rmse'):.1f}, start {run.number('start_rmse'):.1f} m/s",
                ]
            )
    n_failed = sum(run.is_failure for run in cohort.runs)
    label = "RMSE of the start [m/s]"
    values = [cohort.values(m, "start_rmse") for m in cohort.methods]
    any_scores = any(run.scores for run in cohort.runs)
    picture = Picture("RMSE against the start's", embedded(figures.scatter_figure(cohort, label, values)))
    return Section(
        "Where methods fail",
        f"{n_failed or 'None'} of {len(cohort.runs)} runs failed.",
        [Table(["Case", "Method", "What happened"], rows)] * bool(rows)
        + [Table(["RMSE against", "Method", "Spearman's correlation", "n"], tables.covariate_rows(cohort))]
        * any_scores,
        [picture] * any_scores,
        words.FAILURES,
    )
