"""The verb that makes phantoms, and what verbs that make data share."""

import math
from pathlib import Path
from typing import Annotated

import typer

from usct.cli.paths import prepare_hdf5
from usct.cli.progress import Narrator
from usct.errors import InputError
from usct.units import MEGAHERTZ, MILLIMETRE

_MOST_FREQUENCIES = 1000

Seed = Annotated[int, typer.Option(min=0, help="Number from which everything random is drawn.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="File to write.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def phantom(
    name: Annotated[
        str, typer.Argument(help="Such as breast, head, disk, resolution; a wrong name lists them all.")
    ],
    output: Output,
    seed: Seed = 0,
    spacing_mm: Annotated[float, typer.Option(min=0.01, max=20, help="Size of a cell in mm.")] = 0.4,
    tissue_preset: Annotated[
        str, typer.Option(help="Published table of tissue properties, such as park2023 or li2022.")
    ] = "",
    count: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Make a data set: this many, in the folder -o, with a manifest."
        ),
    ] = None,
    height_mm: Annotated[
        float | None,
        typer.Option(min=1, max=1000, help="Make a volume: an ellipsoid this high of the shrunken section."),
    ] = None,
    volume: Annotated[
        bool,
        typer.Option("--volume", help="Breasts and heads: a volume that is random in three dimensions."),
    ] = False,
    slices_mm: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=200, help="Cut such a volume every so many mm, into the folder -o, for a batch."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make a phantom, an object of known sound speed, attenuation and density; or a whole population.

    [bold]Examples:[/bold]

      usct phantom breast --seed 3 -o phantom.h5

      usct phantom breast --spacing-mm 1 --height-mm 120 -o volume.h5

      usct phantom head --volume --spacing-mm 1 -o head.h5

      usct phantom breast --slices-mm 4 --spacing-mm 0.5 -o slices/

      usct phantom breast --count 200 --seed 0 -o dataset/
    """
    from usct import io
    from usct import phantom as phantoms

    if (count, height_mm, slices_mm).count(None) < 2 or (volume and (count, height_mm) != (None, None)):
        raise InputError(
            "--count makes plane phantoms, --height-mm and --volume different volumes; give one of them."
        )
    if slices_mm is not None:
        _make_slices(output, name, seed, spacing_mm, tissue_preset, slices_mm, quiet)
        return
    if count is not None:
        _make_dataset(output, name, count, seed, spacing_mm, tissue_preset, quiet)
        return
    prepare_hdf5(output)
    make = phantoms.make_volume if volume else phantoms.make
    made = make(name, seed=seed, spacing=spacing_mm * MILLIMETRE, tissue_preset=tissue_preset)
    if height_mm is not None:
        made = phantoms.ellipsoid(made, height_mm * MILLIMETRE)
    io.save(made, output)
    shape = " x ".join(map(str, made.medium.grid.shape))
    tissues = (
        f", tissues of {made.provenance['tissue_preset']}" if made.provenance.get("tissue_preset") else ""
    )
    typer.echo(f"Wrote {output}: {made.title or name}, {shape} cells of {spacing_mm:g} mm{tissues}")


def _make_dataset(
    folder: Path, name: str, count: int, seed: int, spacing_mm: float, tissue_preset: str, quiet: bool
) -> None:
    from usct.batch import make_dataset

    with Narrator(quiet) as narrator:
        cases = make_dataset(folder, name, count, seed, spacing_mm * MILLIMETRE, tissue_preset, narrator.step)
    presets = sorted({case.facts.get("tissue_preset", "") for case in cases} - {""})
    tissues = f", tissues of {', '.join(presets)}" if presets else ""
    typer.echo(f"Wrote {folder}: {len(cases)} phantoms, seeds {seed} to {seed + count - 1}{tissues}")


def _make_slices(
    folder: Path, name: str, seed: int, spacing_mm: float, tissue_preset: str, slices_mm: float, quiet: bool
) -> None:
    from usct import phantom as phantoms
    from usct.batch import slice_dataset

    with Narrator(quiet) as narrator:
        narrator.step(0.0, f"Making {name}")
        volume = phantoms.make_volume(name, seed, spacing_mm * MILLIMETRE, tissue_preset=tissue_preset)
        cases = slice_dataset(folder, volume, slices_mm * MILLIMETRE, narrator.step)
    typer.echo(f"Wrote {folder}: {len(cases)} slices, tissues of {volume.provenance['tissue_preset']}")


def parse_frequencies(text: str, option: str = "--frequencies-mhz") -> list[float]:
    """Read frequencies written as first:last:step (both ends included) or as a list [MHz].

    Args:
        text: What was written.
        option: Where, for the error's sentence.

    Returns:
        Increasing frequencies [Hz].

    Raises:
        InputError: If the text is empty, is not made of numbers, or asks for none or too many.
    """
    rule = "give first:last:step or a list with commas, in MHz, such as 0.2:0.65:0.05"
    parts = text.split(":") if ":" in text else text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise InputError(f"{option} is {text!r}; {rule}.") from None
    if ":" in text:
        numbers = _range(numbers)
    if not numbers or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise InputError(f"{option} is {text!r}, which holds no positive frequency; {rule}.")
    return sorted({round(number * MEGAHERTZ, 3) for number in numbers})


def _range(numbers: list[float]) -> list[float]:
    """The frequencies from first to last; none if the three numbers make no range."""
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        return []
    first, last, step = numbers
    if step <= 0 or last < first or (last - first) / step > _MOST_FREQUENCIES:
        return []
    return [first + index * step for index in range(math.floor((last - first) / step + 1e-6) + 1)]
