"""The verb that sets representations against each other: compare."""

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.making import Quiet
from usct.cli.paths import load_scan, load_truth, prepare_output
from usct.cli.progress import Narrator, duration
from usct.errors import InputError

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.evaluation.trials import Comparison
    from usct.medium import Medium
    from usct.phantom import Phantom
    from usct.reconstruction import Iterate

EXIT_CANCELLED = 130
ALL = "pixel,filtered,fourier,tailored,siren,multigrid,hybrid"


class _Commentary:
    """Says which run is on, how far it has come, and when all will be done."""

    def __init__(self, n_runs: int, quiet: bool) -> None:
        self._n_runs, self._quiet = n_runs, quiet
        self._began = time.monotonic()
        self._narrator: Narrator | None = None

    def open(self, number: int, name: str) -> None:
        """Announce a run."""
        self.close()
        left = ""
        if number > 0:
            passed = time.monotonic() - self._began
            left = f", about {duration(passed * (self._n_runs - number) / number)} left in all"
        if not self._quiet:
            typer.echo(f"usct: {number + 1} of {self._n_runs}: {name}{left}", err=True)
        self._narrator = Narrator(self._quiet)
        self._narrator.__enter__()

    def iterate(self, iterate: "Iterate") -> None:
        """Show one model update."""
        if self._narrator is not None:
            self._narrator.iterate(iterate)

    def close(self) -> None:
        """End the run at hand."""
        if self._narrator is not None:
            self._narrator.__exit__(None, None, None)
            self._narrator = None


def compare(
    scan: Annotated[Path, typer.Argument(help="Scan of a ring array, native or foreign format.")],
    budget: Annotated[
        int, typer.Option(min=1, help="Factorisations of the wave operator that each run may use.")
    ],
    truth: Annotated[
        Path | None, typer.Option(help="Phantom to score against; without it the scan's own truth.")
    ] = None,
    parameterizations: Annotated[
        str, typer.Option(help="What to compare, with commas; NAME, or NAME:OPTIMIZER such as siren:adam.")
    ] = ALL,
    start: Annotated[
        float | None, typer.Option(help="Uniform sound speed to start from in m/s; none: found or given.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings by name; a wrong name lists them all.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting over them for all runs; repeatable."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for compare.html, compare.png and compare.json.")
    ] = Path("compare"),
    quiet: Quiet = False,
) -> int:
    """Compare representations of the image: same scan, same start, same number of wave solves.

    The page shows error and residual against work and time, all images, and close-ups of lesions.
    An interrupt keeps the runs that were made.

    [bold]Examples:[/bold]

      usct compare scan.h5 --truth phantom.h5 --budget 60 -o compare/
      usct compare scan.h5 --budget 60 --parameterizations pixel,tailored,siren:adam --start 1480
    """
    from usct import comparison as verb
    from usct.io import atomic
    from usct.report.comparison import verdict, write_comparison

    files = {kind: output / f"compare.{kind}" for kind in ("html", "png", "json")}
    acquisition = load_scan(scan)
    known = _truth(scan, acquisition, truth)
    for file in files.values():
        prepare_output(file, scan, truth)
    names = parameterizations.split(",")
    commentary = _Commentary(len(names), quiet)
    try:
        made = verb.compare(
            acquisition,
            known,
            names,
            budget,
            start=start,
            preset=preset,
            settings=settings or (),
            on_trial=commentary.open,
            on_iterate=commentary.iterate,
        )
    finally:
        commentary.close()
    made = dataclasses.replace(made, scan=scan.name)
    atomic.write_text(files["json"], json.dumps(made.as_dict(), indent=2, allow_nan=False) + "\n")
    write_comparison(files["html"], files["png"], made)
    if not quiet:
        _summarise(made, verdict(made), files["html"])
    return _exit_code(made)


def _truth(scan_file: Path, scan: "Acquisition", file: Path | None) -> "Medium | Phantom":
    """The phantom or medium to score against.

    Raises:
        InputError: If there is none.
    """
    from usct import io
    from usct.phantom import Phantom

    if file is None:
        if scan.truth is None:
            raise InputError(
                f"{scan_file}: the scan carries no truth to score against; give its phantom with --truth."
            )
        return scan.truth
    thing = io.load(file)
    return thing if isinstance(thing, Phantom) else load_truth(file)


def _summarise(made: "Comparison", verdict: tuple[str, ...], page: Path) -> None:
    """Print who won, a line for each run, and where the page is."""
    from usct.reconstruction import RESEARCH_USE_ONLY

    for sentence in verdict:
        typer.echo(sentence)
    rows = []
    for trial in made.trials:
        if trial.last is None:
            rows.append((trial.name, trial.message))
        else:
            text = f"RMSE {trial.last.rmse:.2f} m/s, {trial.last.solves} factorisations, {trial.last.seconds:.1f} s"
            rows.append((trial.name, text if trial.outcome == "finished" else f"{text}; {trial.message}"))
    print_rows([*rows, ("Page", str(page))])
    typer.echo(RESEARCH_USE_ONLY)


def _exit_code(made: "Comparison") -> int:
    """0 if every run finished, 130 if one was cancelled, else 1."""
    outcomes = {trial.outcome for trial in made.trials}
    if "cancelled" in outcomes:
        return EXIT_CANCELLED
    return 0 if outcomes == {"finished"} else 1
