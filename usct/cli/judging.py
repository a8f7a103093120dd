"""Verbs about results: evaluate, report."""

import json
from pathlib import Path
from typing import Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.paths import load_result, load_truth, prepare_output
from usct.errors import InputError

ResultFile = Annotated[Path, typer.Argument(help="Result of 'usct reconstruct'.", metavar="RESULT")]


def evaluate(
    result_file: ResultFile,
    truth: Annotated[Path, typer.Option(help="Phantom, or scan that carries its truth.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write the scores to.")] = None,
) -> None:
    """Score a result against the truth, inside the object.

    [bold]Example:[/bold]  usct evaluate result.h5 --truth phantom.h5 --json scores.json
    """
    from usct import evaluation
    from usct.io import atomic

    if json_file is not None:
        prepare_output(json_file, result_file, truth)
    result, medium = load_result(result_file), load_truth(truth)
    if result.medium.grid.n_dims != medium.grid.n_dims:
        raise InputError(
            f"{truth}: the truth has {medium.grid.n_dims} axes, {result_file} {result.medium.grid.n_dims}; "
            "give the truth of this result."
        )
    scores = evaluation.evaluate(
        result.medium, medium, result.start, highest_frequency=result.highest_frequency
    )
    if scores.n_cells == 0:
        raise InputError(
            f"{truth}: nothing in it differs from the water by more than 2 m/s; give another truth."
        )
    print_rows(scores.rows())
    if json_file is not None:
        facts = {"result": result_file.name, "truth": truth.name, **scores.as_dict()}
        atomic.write_text(json_file, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def report(
    result_file: ResultFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")],
    truth: Annotated[Path | None, typer.Option(help="Phantom, or scan that carries its truth.")] = None,
) -> None:
    """Write one self-contained HTML page about a result: images, scores, settings, history.

    [bold]Example:[/bold]  usct report result.h5 --truth phantom.h5 -o report.html
    """
    prepare_output(output, result_file, truth)
    write_report(result_file, truth, output)
    typer.echo(f"Wrote {output}")


def write_report(result_file: Path, truth: Path | None, output: Path) -> None:
    """Write the page of one result."""
    from usct import evaluation
    from usct.report import html

    result = load_result(result_file)
    medium = None if truth is None else load_truth(truth)
    scores = (
        None
        if medium is None
        else evaluation.evaluate(
            result.medium, medium, result.start, highest_frequency=result.highest_frequency
        )
    )
    html.write_report(output, result, medium, scores, result_file.name)
