"""Verbs about results for people: report, reader-study, score-readers."""

import os
from pathlib import Path
from typing import Annotated

import typer

from usct.cli import judging
from usct.cli.files import print_rows
from usct.cli.paths import prepare_folder, prepare_output
from usct.errors import InputError

Results = Annotated[Path, typer.Argument(help="Folder that 'usct batch' wrote.", metavar="RESULTS")]


def report(
    results: Annotated[
        Path,
        typer.Argument(help="Result of 'usct reconstruct', or folder of 'usct batch'.", metavar="RESULT"),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="HTML file to write; .pdf prints it by an installed Chromium or Chrome."
        ),
    ],
    truth: Annotated[
        Path | None, typer.Option(help="Of one result: phantom, or scan that carries its truth.")
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="Of a folder: also write a page for every case and method into this folder."),
    ] = None,
) -> None:
    """Write one self-contained HTML page about a result or a whole cohort: images, scores, settings.

    A cohort's page has medians with intervals, distributions, lesions and their detection, agreement, resolution,
    methods compared on the same cases, failures, and the configuration.

    [bold]Examples:[/bold]

      usct report result.h5 --truth phantom.h5 -o report.html

      usct report results/ -o report.html --cases pages/
    """
    if results.is_dir():
        if truth is not None:
            raise InputError(f"{truth}: a folder of results names its truths itself; leave out --truth.")
        _report_cohort(results, output, cases)
    elif cases is not None:
        raise InputError(f"{results}: --cases needs a folder of results; leave it out for one result.")
    elif output.suffix.lower() == ".pdf":
        raise InputError(f"{output}: the page of one result is written as HTML; end the name with .html.")
    else:
        judging.report(results, output, truth)
        return
    typer.echo(f"Wrote {output}")


def _report_cohort(results: Path, output: Path, cases: Path | None) -> None:
    from usct.report.cohort import load_cohort
    from usct.report.cohort_page import cohort_page, page_name, write_cohort_page
    from usct.report.printing import write_pdf

    prepare_output(output)
    cohort, links = load_cohort(results), {}
    title = f"Cohort report: {results.resolve().name}"
    if cases is not None:
        prepare_folder(cases)
        for run in cohort.runs:
            path = run.folder / "result.h5"
            if run.status == "done" and path.is_file():
                page = cases / page_name(run)
                judging.write_report(path, cohort.phantoms.get(run.case) if run.scores else None, page)
                links[run.case, run.method] = Path(os.path.relpath(page, output.parent)).as_posix()
    if output.suffix.lower() == ".pdf":
        write_pdf(output, cohort_page(cohort, title, links))
    else:
        write_cohort_page(output, cohort, title, links)


def reader_study(
    results: Results,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="New folder for images, answers.csv and instructions.txt.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(help="CSV file that says what each image is; none: beside the folder, NAME-key.csv."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random order.")] = 0,
) -> None:
    """Write blinded close-ups in random order for readers, with a sheet for their answers; the key lies apart.

    [bold]Example:[/bold]  usct reader-study results/ -o study/ --seed 1
    """
    from usct.report.cohort import load_cohort
    from usct.report.reader_study import export_study

    place = key or output.with_name(f"{output.resolve().name}-key.csv")
    prepare_output(place)
    count = export_study(load_cohort(results), output, place, seed)
    typer.echo(f"Wrote {count} images to {output}, and the key, which readers must not see, to {place}")


def score_readers(
    answers: Annotated[list[Path], typer.Argument(help="Filled-in answers.csv, one for each reader.")],
    key: Annotated[Path, typer.Option(help="Key of the study.")],
) -> None:
    """Turn readers' answers into areas under the operating characteristic, with intervals.

    [bold]Example:[/bold]  usct score-readers anna.csv ben.csv --key study-key.csv
    """
    from usct.report import reader_study as study

    scores = study.score_readers(key, answers)
    print_rows(
        [
            (
                f"{s.reader}, {s.method}",
                f"AUC {s.area.text('{:.3f}')}, {s.area.n} cases, {s.n_rated} of {s.n_shown} images rated",
            )
            for s in scores
        ]
    )
    typer.echo("95 % intervals by resampling whole cases; none for fewer than five, nor for a perfect area.")
