"""The verb for those who design an array: plan."""

import json
from pathlib import Path
from typing import Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.making import Quiet
from usct.cli.paths import load_start, prepare_output
from usct.cli.progress import Narrator
from usct.errors import InputError
from usct.units import KILOHERTZ, MILLIMETRE

_MOST = 60
"""Frequencies or rings in one plan."""


def plan(
    medium: Annotated[Path, typer.Argument(help="Phantom, map, start model or result: what is to be seen.")],
    elements: Annotated[str, typer.Option(help="Numbers of elements, with commas.")] = "64,128",
    frequencies_khz: Annotated[
        str, typer.Option(help="Frequencies in kHz, with commas or as first:last:step.")
    ] = "50:200:50",
    radius_mm: Annotated[float, typer.Option(min=20, max=500, help="Of the ring.")] = 110.0,
    snr_db: Annotated[float, typer.Option(help="Of what crosses the ring in water alone.")] = 30.0,
    contrast: Annotated[
        float, typer.Option(min=0.1, max=500, help="Deviation that the sound speed may have, in m/s.")
    ] = 20.0,
    correlation_mm: Annotated[
        float, typer.Option(min=0.1, max=100, help="Distance over which it is alike.")
    ] = 5.0,
    size_mm: Annotated[
        float, typer.Option(min=0.5, max=100, help="Of the detail whose error is told, coarser included.")
    ] = 8.0,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for plan.html, plan.png, plan.json and plan.csv.")
    ] = Path("plan"),
    quiet: Quiet = False,
) -> None:
    """Foretell what rings of elements would see inside a head, with and without attenuation.

    Nothing is inverted: detail, numbers that the data determine, and the error to be expected, against frequency and
    number of elements, follow from the waves' derivative in the given medium. Cancelled with Ctrl-C, it leaves the
    page of what it had found.

    [bold]Example:[/bold]

      usct phantom head --seed 1 --spacing-mm 0.5 -o head.h5
      usct plan head.h5 --elements 64,128 --frequencies-khz 50:200:50 -o plan/
    """
    from usct import planning as verb
    from usct.io import atomic
    from usct.plan import Plan
    from usct.reconstruction import RESEARCH_USE_ONLY
    from usct.report.planning import row, verdict, write_plan

    files = {kind: output / f"plan.{kind}" for kind in ("html", "png", "json", "csv")}
    for file in files.values():
        prepare_output(file, medium)
    wishes = verb.Wishes(
        tuple(int(n) for n in _numbers(elements, "--elements")),
        tuple(f * KILOHERTZ for f in _numbers(frequencies_khz, "--frequencies-khz")),
        radius_mm * MILLIMETRE,
        snr_db,
        contrast,
        correlation_mm * MILLIMETRE,
        size_mm * MILLIMETRE,
    )

    def write(made: Plan) -> None:
        atomic.write_text(files["json"], json.dumps(made.as_dict(), indent=2, allow_nan=False) + "\n")
        atomic.write_text(files["csv"], made.as_csv())
        write_plan(files["html"], files["png"], made)

    so_far: list[Plan] = []
    try:
        with Narrator(quiet) as narrator:
            made = verb.plan(load_start(medium), wishes, medium.stem, narrator.step, so_far.append)
    except KeyboardInterrupt:
        if so_far:
            write(so_far[-1])
        raise
    write(made)
    if quiet:
        return
    for sentence in verdict(made):
        typer.echo(sentence)
    print_rows(
        [
            (
                f"{cells[0]}, {cells[1]} kHz" + (", lossy" if cells[2] == "yes" else ""),
                f"detail {cells[3]} and {cells[4]} mm, {cells[5]} numbers, error {cells[6]} m/s, {cells[7]} dB",
            )
            for cells in map(row, made.outlooks)
        ]
        + [("Page", str(files["html"]))]
    )
    typer.echo(RESEARCH_USE_ONLY)


def _numbers(text: str, option: str) -> list[float]:
    """Numbers with commas, or first:last:step.

    Raises:
        InputError: If the text is neither, or there are too many.
    """
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            count = int((last - first) / step + 1e-9) + 1 if step > 0 else 0
            numbers = [first + n * step for n in range(min(count, _MOST + 1))]
        else:
            numbers = [float(part) for part in text.split(",")]
    except (ValueError, OverflowError):
        numbers = []
    if not 0 < len(numbers) <= _MOST or not all(0 < n < 1e7 for n in numbers):
        raise InputError(
            f"{option} is {text!r}; give 1 to {_MOST} numbers above zero, as 64,128 or as first:last:step."
        )
    return numbers
