"""Sections of a cohort's report that judge: methods against each other, lesions, agreement with the truth."""

import math

import numpy as np

from usct.evaluation.intervals import bootstrap, wilson
from usct.report import cohort_figures as figures
from usct.report import cohort_tables as tables
from usct.report import cohort_words as words
from usct.report.cohort import Cohort
from usct.report.cohort_parts import Picture, Section, Table
from usct.report.html import embedded


def methods_compared(cohort: Cohort) -> Section:
    """Paired differences between methods."""
    if len(cohort.methods) < 2:
        return Section("Comparison of methods", "One method was run, so there is nothing to compare.")
    budgets = [bootstrap(cohort.values(m, "n_solves")).value for m in cohort.methods]
    known = [b for b in budgets if math.isfinite(b)]
    spread = max(known) / min(known) - 1 if known and min(known) > 0 else 0.0
    solves = ", ".join(
        f"{m} {b:.0f}" for m, b in zip(cohort.methods, budgets, strict=True) if math.isfinite(b)
    )
    equal = (
        "the budgets are equal within 5 %"
        if spread <= 0.05
        else (f"the budgets differ by {spread:.0%}, so this is NOT a comparison at equal cost")
    )
    measure = tables.COMPARED[0]
    values = [cohort.values(m, *measure.names) for m in cohort.methods]
    head = ["Score", "Difference", "Mean (95 % CI)", "n", "First lower", "p (Holm)", "p (BH)"]
    return Section(
        "Comparison of methods",
        f"Median factorisations of the wave operator: {solves}; {equal}." if solves else "",
        [Table(head, tables.comparison_rows(cohort))],
        [
            Picture(
                "RMSE of each case from method to method",
                embedded(figures.pairs_figure(cohort, measure.label, values)),
            )
        ],
        words.METHODS_COMPARED,
    )


def lesions(cohort: Cohort) -> Section:
    """Contrast, size, place and detection of lesions."""
    rows = tables.lesion_rows(cohort)
    found = tables.detections(cohort)
    head = [
        "Diameter",
        "Method",
        "Contrast recovery",
        "CNR",
        "Bias [m/s]",
        "Size error [mm]",
        "Centroid error [mm]",
        "Edge 10–90 % [mm]",
        "n (with recovery)",
    ]
    auc_rows = [
        [d.name, d.area.text("{:.3f}"), str(d.area.n), f"{d.n_present} / {d.n_absent}"] for d in found
    ]
    judged = [d for d in found if d.curve is not None]
    pictures = (
        [Picture("Lesions found against false alarms", embedded(figures.roc_figure(judged)))]
        if judged
        else []
    )
    return Section(
        "Lesions",
        "" if rows else "No lesion with a known truth is in these cases.",
        [Table(head, rows)] * bool(rows)
        + [Table(["Image", "AUC (95 % CI)", "Cases", "Places with / without lesion"], auc_rows)],
        pictures,
        words.LESIONS,
    )


def agreement(cohort: Cohort) -> Section:
    """Bland-Altman, intraclass and concordance correlation with the truth."""
    found = [a for a in tables.agreements(cohort) if np.isfinite(a.measured - a.reference).any()]
    quantities = list(dict.fromkeys(a.quantity for a in found))
    pictures = [
        Picture(
            f"Bland-Altman: {q}", embedded(figures.bland_altman_figure([a for a in found if a.quantity == q]))
        )
        for q in quantities
    ]
    head = [
        "Quantity",
        "Method",
        "Bias",
        "Lower limit",
        "Upper limit",
        "Slope",
        "ICC(2,1)",
        "Concordance",
        "n",
    ]
    return Section(
        "Agreement with the truth",
        "" if found else "Nothing could be compared.",
        [Table(head, [a.row() for a in found])] * bool(found) + [_class_table(cohort)] * bool(found),
        pictures,
        words.AGREEMENT,
    )


def _class_table(cohort: Cohort) -> Table:
    rows = []
    for method in cohort.methods:
        pairs = [
            (r.scores["density"]["density_class"], r.scores["true_density"]["density_class"])
            for r in cohort.of(method)
            if r.scores.get("density") and r.scores.get("true_density")
        ]
        share = wilson(sum(a == b for a, b in pairs), len(pairs))
        rows.append([method, share.text("{:.0f}", 100), str(share.n)])
    return Table(["Method", "Same density class as the truth [%]", "n"], rows)
