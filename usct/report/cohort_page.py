"""The page about a cohort: one file, no script, no network; to be read on paper and on a phone."""

import os
from pathlib import Path

import numpy as np

from usct import __version__
from usct.evaluation.intervals import bootstrap
from usct.io import atomic
from usct.report import cohort_judgements as judgements
from usct.report import cohort_sections as sections
from usct.report.cohort import Cohort, Run
from usct.report.html import render


def cohort_page(cohort: Cohort, title: str = "", links: dict[tuple[str, str], str] | None = None) -> str:
    """Compose the page as text.

    Args:
        cohort: What the folder of results holds.
        title: A name for people.
        links: Page of each case and method, as an address relative to this page.

    Returns:
        HTML that needs no other file.
    """
    parts = [
        sections.overview(cohort),
        sections.montage(cohort),
        sections.distributions(cohort),
        judgements.methods_compared(cohort),
        judgements.lesions(cohort),
        judgements.agreement(cohort),
        sections.resolution(cohort),
        sections.kernels(cohort),
        sections.failures(cohort),
    ]
    return render(
        "cohort.html.j2",
        {
            "title": title or "Cohort report",
            "lead": _lead(cohort),
            "sections": [section for section in parts if section is not None],
            "head": ["Case", *(f"{m}: {t}" for m in cohort.methods for t in ("RMSE", "SSIM"))],
            "cases": _case_rows(cohort, links or {}),
            "methods_text": _methods_paragraph(cohort),
            "configuration": cohort.configuration,
            "facts": sorted(cohort.facts.items()),
        },
    )


def write_cohort_page(
    path: str | os.PathLike[str],
    cohort: Cohort,
    title: str = "",
    links: dict[tuple[str, str], str] | None = None,
) -> None:
    """Write the page in one step.

    Args:
        path: The HTML file to write or replace.
        cohort: What the folder of results holds.
        title: A name for people.
        links: Page of each case and method.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    atomic.write_text(path, cohort_page(cohort, title, links))


def _lead(cohort: Cohort) -> str:
    finished = sum(run.status == "done" for run in cohort.runs)
    unscored = sum(run.status == "done" and not run.scores for run in cohort.runs)
    missing = sum(run.status == "missing" for run in cohort.runs)
    sentence = (
        f"{len(cohort.cases)} case{'s' * (len(cohort.cases) != 1)}, reconstructed by "
        f"{', '.join(cohort.methods)}: {finished} of {len(cohort.runs)} runs have a result."
    )
    if unscored:
        sentence += f" Not scored, as their truth is not known: {unscored}."
    if missing:
        sentence += f" Not run to their end: {missing}; this report is of an unfinished batch."
    if len(cohort.cases) < 10:
        sentence += (
            " With so few cases, intervals are wide or cannot be given; read single cases, not averages."
        )
    return sentence


def _case_rows(cohort: Cohort, links: dict[tuple[str, str], str]) -> list[list[tuple[str, str]]]:
    rows = []
    for case in cohort.cases:
        row = [(case, "")]
        for run in (r for m in cohort.methods for r in cohort.of(m) if r.case == case):
            if not run.scores:
                row += [(sections.WORDS[run.status], links.get((case, run.method), "")), ("–", "")]
                continue
            mark = " (failure)" if run.is_failure else ""
            row += [
                (f"{run.number('rmse'):.2f}{mark}", links.get((case, run.method), "")),
                (f"{run.number('ssim'):.3f}", ""),
            ]
        rows.append(row)
    return rows


def _methods_paragraph(cohort: Cohort) -> str:
    finished = [run for run in cohort.runs if run.status == "done"]
    solves = bootstrap(np.array([run.number("n_solves") for run in finished]))
    return (
        f"Sound speed was reconstructed by full-waveform inversion (usct {__version__}) from ring-array data of "
        f"{len(cohort.cases)} cases with {', '.join(cohort.methods)}, in {len(cohort.runs)} runs, of which "
        f"{len(finished)} finished, with a median of {solves.value:.0f} factorisations of the wave operator. Images "
        "were resampled to the grid of the truth and scored inside the object. The truth served for scoring alone. "
        "Failed runs are left out of all numbers but the share of failures; nothing was imputed. All "
        "intervals have a level of 95 %; resampling used fixed seeds, so that this report can be made again from "
        "the same results. The configuration below, with the same version, data set and machine, gives the same "
        "images."
    )


def page_name(run: Run) -> Path:
    """Name of the page of one run."""
    return Path(f"{run.case}-{run.method}.html")
