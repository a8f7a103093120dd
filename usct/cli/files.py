"""Verbs about files and the machine: info, validate, convert, sysinfo."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.paths import load_scan, prepare_hdf5
from usct.errors import InputError
from usct.units import MILLIMETRE

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.io import Loaded
    from usct.phantom import Phantom

File = Annotated[Path, typer.Argument(help="A scan, phantom or result: native HDF5, or a foreign format.")]

Positions = Annotated[
    Path | None,
    typer.Option(
        help="For travel times, open-UST and stride's shots: file of the element positions, where it is another one."
    ),
]


def info(file: File, positions: Positions = None) -> None:
    """Tell what is in a file.

    [bold]Example:[/bold]  usct info scan.h5
    """
    from usct import io

    print_rows(io.describe(file, positions))


def validate(file: File, positions: Positions = None) -> int:
    """Check a file and list everything that is wrong with it.

    Exit code 0 if nothing is, 1 if the file can be used all the same, 2 if not.

    [bold]Example:[/bold]  usct validate RecordedData.mat
    """
    from usct import io

    found = io.problems(file, positions)
    if not found:
        typer.echo(f"{file}: nothing is wrong.")
        return 0
    for sentence in found:
        typer.echo(sentence)
    try:
        io.load(file, positions)
    except InputError:
        return 2
    return 1


def convert(
    source: Annotated[
        Path, typer.Argument(help="File to read, in any format that usct knows.", metavar="IN")
    ],
    target: Annotated[Path, typer.Argument(help="Native HDF5 file to write.", metavar="OUT")],
    positions: Positions = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Of a volume of labels (.mhd, .nii): victre, or a text file of lines 'number tissue'."
        ),
    ] = None,
    plane: Annotated[
        int | None, typer.Option(min=0, help="Take this slice of a volume of labels, along z.")
    ] = None,
    tissue_preset: Annotated[str, typer.Option(help="Of labels: table of tissue properties.")] = "",
    power: Annotated[
        str, typer.Option(help="Of labels: power law, by density class, or head.")
    ] = "heterogeneous",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of labels: draw each tissue's properties; none: their means.")
    ] = None,
    number: Annotated[int | None, typer.Option(min=0, help="Take this map of a stack, from 0.")] = None,
    spacing_mm: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="Of a stack: size of a cell in mm.")
    ] = None,
    variable: Annotated[str, typer.Option(help="Of a stack: its name, where there are several.")] = "",
    water: Annotated[
        Path | None, typer.Option(help="Of a scan: put this shot in water alone into the same file.")
    ] = None,
) -> None:
    """Convert a scan, travel times, a phantom or a result to the native HDF5 format: SI units, checksummed.

    [bold]Examples:[/bold]

      usct convert RecordedData.mat scan.h5

      usct convert scan.mat scan.h5 --water water.mat

      usct convert p_12.mhd phantom.h5 --labels victre --plane 300 --seed 1

      usct convert breast_train_speed.mat phantom.h5 --number 12 --spacing-mm 0.5
    """
    from usct import io

    prepare_hdf5(target, source, positions, water)
    thing: io.Loaded
    if labels is not None:
        thing = _of_labels(source, labels, plane, tissue_preset, power, seed)
    elif number is not None:
        thing = _of_stack(source, number, spacing_mm, variable)
    else:
        thing = io.load(source, positions)
    if water is not None:
        thing = _with_water(thing, source, water)
    io.save(thing, target)
    typer.echo(f"Wrote {target}")
    for note in getattr(thing, "notes", ()):
        typer.echo(f"  {note}")


def _with_water(thing: "Loaded", source: Path, water: Path) -> "Acquisition":
    """A scan that carries a shot in water alone."""
    from dataclasses import replace

    from usct.acquisition import Acquisition

    if not isinstance(thing, Acquisition):
        raise InputError(
            f"{source}: this is no scan, to which alone a shot in water belongs; leave out --water."
        )
    try:
        return replace(thing, water=load_scan(water).data)
    except ValueError as error:
        raise InputError(f"{source} with {water}: {error}; keep them in two files.") from None


def _of_labels(
    source: Path, labels: str, plane: int | None, preset: str, power: str, seed: int | None
) -> "Phantom":
    from usct.io.label_volumes import read_label_names, read_label_volume
    from usct.phantom import VICTRE, phantom_from_labels

    names = VICTRE if labels.lower() == "victre" else read_label_names(Path(labels))
    values, spacing = read_label_volume(source)
    if plane is not None:
        if plane >= values.shape[0] or values.ndim != 3:
            raise InputError(
                f"--plane {plane}: {source} has the shape {values.shape}; choose one of its slices."
            )
        values = values[plane]
    return phantom_from_labels(values, spacing, names, preset, power, seed, source.name.partition(".")[0])


def _of_stack(source: Path, number: int, spacing_mm: float | None, variable: str) -> "Phantom":
    from usct.io.breast_slices import read_slice

    if spacing_mm is None:
        raise InputError(f"{source}: a stack does not say how large its cells are; give --spacing-mm.")
    return read_slice(source, number, spacing_mm * MILLIMETRE, variable)


def sysinfo() -> None:
    """Tell what this machine and this installation are, for bug reports.

    [bold]Example:[/bold]  usct sysinfo
    """
    from usct import sysinfo as system

    print_rows(system.rows())


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print label and text in two columns; further lines of a text are indented under the first."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        typer.echo(f"{label:<{width}}  {text}".replace("\n", "\n" + " " * (width + 2)).rstrip())
