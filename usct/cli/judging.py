"""Verbs about results: evaluate, report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.paths import load_result, load_truth_in_full, prepare_output
from usct.errors import InputError

if TYPE_CHECKING:
    from usct.evaluation import CaseScores
    from usct.medium import Medium
    from usct.phantom import Phantom
    from usct.reconstruction import Reconstruction

ResultFile = Annotated[Path, typer.Argument(help="Result of 'usct reconstruct'.", metavar="RESULT")]


def evaluate(
    result_file: ResultFile,
    truth: Annotated[Path, typer.Option(help="Phantom, or scan that carries its truth.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write the scores to.")] = None,
) -> None:
    """Score a result against the truth, inside the object, and by tissue and lesion where the truth is a phantom.

    [bold]Example:[/bold]  usct evaluate result.h5 --truth phantom.h5 --json scores.json
    """
    from usct.io import atomic

    if json_file is not None:
        prepare_output(json_file, result_file, truth)
    scores = _scores(result_file, load_result(result_file), truth, load_truth_in_full(truth))
    if scores.image.n_cells == 0:
        raise InputError(
            f"{truth}: nothing in it differs from the water by more than 2 m/s; give another truth."
        )
    print_rows((*scores.image.rows(), *scores.rows()))
    if json_file is not None:
        facts = {"result": result_file.name, "truth": truth.name, **scores.as_dict()}
        atomic.write_text(json_file, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def _scores(
    result_file: Path, result: "Reconstruction", truth_file: Path, truth: "Phantom | Medium"
) -> "CaseScores":
    from usct import evaluation
    from usct.phantom import Phantom

    medium = truth.medium if isinstance(truth, Phantom) else truth
    if result.medium.grid.n_dims != medium.grid.n_dims:
        raise InputError(
            f"{truth_file}: the truth has {medium.grid.n_dims} axes, {result_file} {result.medium.grid.n_dims}; "
            "give the truth of this result."
        )
    return evaluation.evaluate_case(result, truth)


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
    from usct.phantom import Phantom
    from usct.report import html

    result = load_result(result_file)
    if truth is None:
        html.write_report(output, result, title=result_file.name)
        return
    known = load_truth_in_full(truth)
    scores = _scores(result_file, result, truth, known)
    medium = known.medium if isinstance(known, Phantom) else known
    html.write_report(output, result, medium, scores.image, result_file.name, scores.rows())
