"""The verb that brings a finished image to another grid: resample."""

import dataclasses
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.judging import ResultFile
from usct.cli.making import Quiet
from usct.cli.paths import load_result, prepare_hdf5, prepare_output
from usct.cli.progress import Narrator
from usct.errors import InputError
from usct.units import MILLIMETRE

if TYPE_CHECKING:
    from usct.grid import Grid
    from usct.medium import Medium
    from usct.reconstruction import Reconstruction

MOST_CELLS = 2**25
_RULE = "give a length such as 0.25mm, 0.00025m or 250um"
# In decimals, so that 0.25mm, 250um and 0.00025m are one and the same number.
_MICRO = Decimal("1e-6")
_UNITS = {
    "mm": Decimal("1e-3"),
    "um": _MICRO,
    "\N{MICRO SIGN}m": _MICRO,
    "\N{GREEK SMALL LETTER MU}m": _MICRO,
    "m": Decimal(1),
}


def resample(
    result_file: ResultFile,
    spacing: Annotated[
        str, typer.Option(help="Distance between cells: 0.25mm, 0.00025m, 250um, or a bare number in mm.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Result to write; a figure .png goes beside it.")
    ],
    quiet: Quiet = False,
) -> None:
    """Sample a result's image on a finer or coarser grid, from the trained field that made it.

    A network is evaluated at the new points themselves. Where a file holds no field, its image is interpolated.

    [bold]Example:[/bold]  usct resample result.h5 --spacing 0.25mm -o fine.h5
    """
    from usct import io
    from usct.io import atomic
    from usct.report.drawing import png
    from usct.report.figures import reconstruction_figure

    distance = parse_length(spacing)
    figure = output.with_suffix(".png")
    prepare_hdf5(output, result_file)
    prepare_output(figure, result_file)
    result = load_result(result_file)
    with Narrator(quiet) as narrator:
        made, how = resampled(
            result, distance, result_file, lambda share: narrator.step(share, "Sampling the trained field")
        )
    io.save(made, output)
    atomic.write_bytes(figure, png(reconstruction_figure(made, None, output.name)))
    if not quiet:
        shape = " x ".join(map(str, made.medium.grid.shape))
        typer.echo(f"Wrote {output}: {shape} cells of {distance / MILLIMETRE:.6g} mm, {how}")
        typer.echo(f"Wrote {figure}")


def parse_length(text: str) -> float:
    """Read a length with its unit, or a bare number of millimetres [m].

    Raises:
        InputError: If the text is no length, or not above zero.
    """
    number, unit = text.strip(), "mm"
    for suffix in _UNITS:
        if number.lower().endswith(suffix):
            number, unit = number[: -len(suffix)].strip(), suffix
            break
    try:
        length = float(Decimal(number) * _UNITS[unit])
    except ArithmeticError:  # Decimal's complaint about any text that is no number
        raise InputError(f"--spacing is {text!r}, which is no length; {_RULE}.") from None
    if not (math.isfinite(length) and length > 0):
        raise InputError(f"--spacing is {text!r}, which is not above zero; {_RULE}.")
    return length


def resampled(
    result: "Reconstruction",
    spacing: float,
    result_file: Path,
    on_progress: Callable[[float], None] | None = None,
) -> tuple["Reconstruction", str]:
    """The same result on a grid of another spacing, and how its image was made, for people.

    Args:
        result: The result.
        spacing: Distance between cells [m].
        result_file: Its file, for the provenance and the errors' sentences.
        on_progress: Called with the share that is done, where a field takes more than a moment.

    Raises:
        InputError: If the grid would be too large or too small, or the field is not usable.
    """
    from usct.grid import resample as interpolate

    old = result.medium.grid
    # The field's own grid, so that going through a coarse file loses none of the extent.
    extent = old if result.field is None else result.field.grid
    if extent.n_dims != old.n_dims:
        raise InputError(
            f"{result_file}: the field has {extent.n_dims} axes and the image {old.n_dims}; reconstruct again."
        )
    grid = spanning(extent, spacing)
    medium, how = _sampled(result, grid, result_file, on_progress)
    region = interpolate(result.region.double(), old, grid) > 0.5
    note = f"{spacing / MILLIMETRE:.6g} mm from {result_file.name}, {how}"
    made = dataclasses.replace(
        result,
        medium=medium,
        start=result.start.resampled(grid),
        region=region,
        provenance={**result.provenance, "resampled": note},
    )
    return made, how


def spanning(old: "Grid", spacing: float) -> "Grid":
    """The grid of another spacing with the same middle that stays within an old one.

    Raises:
        InputError: If it would have too many cells, or a single one along an axis.
    """
    from usct.grid import Grid

    widths = [last - first for first, last in zip(old.origin, old.last, strict=True)]
    asked, narrowest = f"--spacing is {spacing / MILLIMETRE:.6g} mm", min(widths)
    if spacing > narrowest * (1 + 1e-9):
        raise InputError(f"{asked} and the image is {narrowest / MILLIMETRE:.6g} mm wide; give less.")
    if _cells(widths, spacing) > MOST_CELLS:
        raise InputError(
            f"{asked}, which makes {_cells(widths, spacing):.4g} cells where {MOST_CELLS} are the most; "
            f"give {_least(widths) / MILLIMETRE:.3g}mm or more."
        )
    counts = [math.floor(width / spacing + 1e-6) + 1 for width in widths]
    spare = [width - (n - 1) * spacing for width, n in zip(widths, counts, strict=True)]
    # What is spare by rounding alone must not shift the grid.
    shift = [0.5 * rest if abs(rest) > 1e-5 * spacing else 0.0 for rest in spare]
    return Grid(tuple(counts), spacing, tuple(o + s for o, s in zip(old.origin, shift, strict=True)))


def _cells(widths: list[float], spacing: float) -> float:
    """About how many cells a spacing makes; not an integer, since it may be beyond all bounds."""
    return math.prod(width / spacing + 1 for width in widths)


def _least(widths: list[float]) -> float:
    """A spacing that makes a little fewer cells than are the most [m]."""
    spacing = (math.prod(widths) / MOST_CELLS) ** (1 / len(widths))
    while _cells(widths, 0.99 * spacing) > MOST_CELLS:  # so that it can be rounded to three digits
        spacing *= 1.01
    return spacing


def _sampled(
    result: "Reconstruction",
    grid: "Grid",
    result_file: Path,
    on_progress: Callable[[float], None] | None,
) -> tuple["Medium", str]:
    """The image on a grid, and how it was made."""
    interpolated = result.medium.resampled(grid)
    field = result.field
    if field is None:
        return interpolated, "interpolated, for the file holds no trained field"
    from usct.parameterization.catalogue import restored, sampled

    try:
        speed = sampled(restored(field), grid, on_progress).sound_speed
    except ValueError as error:
        raise InputError(f"{result_file}: {str(error).rstrip('.')}.") from error
    medium = dataclasses.replace(interpolated, sound_speed=speed)
    return medium, f"sampled from the trained field ({field.name}, {field.n_parameters} parameters)"
