"""The verb that holds announced uncertainty against a truth: coverage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.making import Quiet
from usct.cli.paths import load_diagnosis, load_truth, prepare_output
from usct.errors import InputError

if TYPE_CHECKING:
    from usct.diagnostics.uncertainty import Calibration


def coverage(
    kernels: Annotated[
        list[Path],
        typer.Argument(
            help="Files of 'usct diagnose', of one truth: of several draws of noise.", metavar="KERNELS"
        ),
    ],
    truth: Annotated[Path, typer.Option(help="Phantom, or scan that carries its truth.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Figure to write, .png.")],
    quiet: Quiet = False,
) -> None:
    """Check uncertainty against a truth: how often errors lay within what was announced.

    Counted are the object's cells, errors without detail that the waves cannot see, of all files together. A curve
    below the diagonal means that the map of uncertainty was too sure. A .csv goes beside the figure.

    [bold]Example:[/bold]  usct coverage kernels-*.h5 --truth phantom.h5 -o coverage.png
    """
    from usct.io import atomic
    from usct.report.coverage import coverage_figure
    from usct.report.drawing import png

    if output.suffix != ".png":
        raise InputError(f"{output}: the figure is a PNG; end its name with .png.")
    table = output.with_suffix(".csv")
    for file in (output, table):
        prepare_output(file, truth, *kernels)
    found, announced, erred = _counted(kernels, truth)
    many = f"{len(kernels)} file{'s' if len(kernels) > 1 else ''}"
    title = f"{many}; announced {announced:.2g} m/s, found {erred:.2g} m/s (root mean squares)"
    atomic.write_bytes(output, png(coverage_figure(found, title)))
    rows = [f"{n:g},{e:.4f}" for n, e in zip(found.nominal.tolist(), found.empirical.tolist(), strict=True)]
    atomic.write_text(table, "\n".join(["announced,found", *rows]) + "\n")
    if quiet:
        return
    within = dict(zip(found.nominal.tolist(), found.empirical.tolist(), strict=True))
    typer.echo(
        f"{100 * within[0.68]:.0f} % of the errors lay within what was announced for 68 %, and "
        f"{100 * within[0.95]:.0f} % within that for 95 %."
    )
    print_rows(
        [("Announced", f"{announced:.2g} m/s"), ("Found", f"{erred:.2g} m/s"), ("Figure", str(output))]
    )


def _counted(files: list[Path], truth_file: Path) -> tuple["Calibration", float, float]:
    """Coverage over all files, and root mean squares of announced and actual errors [m/s]."""
    import torch

    from usct.diagnostics.uncertainty import calibration, errors_of
    from usct.evaluation.regions import object_mask

    truth = load_truth(truth_file)
    inside = object_mask(truth)
    errors, deviations = [], []
    for file in files:
        diagnosis = load_diagnosis(file)
        if diagnosis.standard_deviation is None:
            raise InputError(f"{file}: uncertainty was not mapped; diagnose again without --no-maps.")
        error, deviation = errors_of(diagnosis, truth, inside)
        errors.append(error)
        deviations.append(deviation)
    error, deviation = torch.cat(errors), torch.cat(deviations)
    if not len(error):
        raise InputError(
            f"{truth_file}: its object lies outside of the images; give the phantom of this scan."
        )
    announced, erred = (float(v.square().mean().sqrt()) for v in (deviation, error))
    return calibration(error, deviation), announced, erred
