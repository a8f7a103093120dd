"""Verbs about files and the machine: info, validate, convert, sysinfo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from usct.cli.paths import prepare_hdf5

File = Annotated[Path, typer.Argument(help="A scan, phantom or result: native HDF5, or a foreign format.")]

Positions = Annotated[
    Path | None,
    typer.Option(
        help="For travel times and stride's shots: file of the element positions, where it is another one."
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
    from usct.errors import InputError

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
) -> None:
    """Convert a scan, travel times, a phantom or a result to the native HDF5 format: SI units, checksummed.

    [bold]Example:[/bold]  usct convert RecordedData.mat scan.h5
    """
    from usct import io

    prepare_hdf5(target, source, positions)
    thing = io.load(source, positions)
    io.save(thing, target)
    typer.echo(f"Wrote {target}")
    for note in getattr(thing, "notes", ()):
        typer.echo(f"  {note}")


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
