"""The verb for populations: batch."""

import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.making import Quiet
from usct.cli.paths import prepare_folder
from usct.cli.progress import Narrator, duration
from usct.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

    from usct.batch import BatchSettings, CaseFile, Summary

_MOST_SENTENCES = 10


def batch(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")],
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of phantoms or scans; none: the population of the settings.", metavar="[DATASET]"
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings by name, such as breast-gate; a wrong name lists them all.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings, over the preset.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Cases at a time; Slurm: jobs.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads of each; none: the machine's, shared out.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")
    ] = None,
    slurm: Annotated[bool, typer.Option("--slurm", help="Start workers as Slurm jobs.")] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="On a cluster: one GPU for each case.")] = False,
    quiet: Quiet = False,
) -> int:
    """Simulate, reconstruct, diagnose and evaluate every case of a dataset.

    What is finished is kept: run it again after an interruption, a crash or a change of settings, and it
    does what is missing. Cases that fail are listed with their reason; the rest goes on.

    [bold]Examples:[/bold]

      usct batch dataset/ -o results/ --workers 2

      usct batch --preset breast-gate -o results/ --workers 2

      usct batch dataset/ -o results/ --scheduler tcp://head:8786
    """
    from usct.batch import load_batch, run_batch

    if scheduler is not None and slurm:
        raise InputError("--scheduler and --slurm exclude each other; give one of them.")
    settings = load_batch(preset, config)
    prepare_folder(output)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Narrator(quiet) as narrator:
            cases = _cases(dataset, settings, output, narrator)
            summary = run_batch(
                cases,
                settings,
                output,
                workers,
                threads,
                _cluster(scheduler, slurm, workers, threads, gpu),
                gpu,
                dataset="" if dataset is None else dataset.name,
                on_progress=narrator.step,
                on_dashboard=lambda address: narrator.step(0.0, f"Dashboard at {address}"),
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    _tell(summary, cases, output, quiet)
    return 0 if summary.done == summary.total else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _cases(
    dataset: Path | None, settings: "BatchSettings", output: Path, narrator: Narrator
) -> "tuple[CaseFile, ...]":
    """The cases of a folder, or of the population in the settings, made beside the results."""
    from usct.batch import make_dataset, read_dataset
    from usct.units import MILLIMETRE

    if dataset is not None:
        return read_dataset(dataset)
    asked = settings.population
    if asked is None:
        raise InputError("there is no dataset; name its folder, or give settings with a [population].")
    return make_dataset(
        output / "dataset",
        asked.name,
        asked.count,
        asked.seed,
        asked.spacing_mm * MILLIMETRE,
        asked.tissue_preset,
        narrator.step,
    )


def _cluster(
    scheduler: str | None, slurm: bool, workers: int, threads: int | None, gpu: bool
) -> "AbstractContextManager[Client] | None":
    from usct.batch import cluster

    if scheduler is not None:
        return cluster.connected(scheduler)
    return cluster.slurm(workers, threads or 1, gpu) if slurm else None


def _tell(summary: "Summary", cases: "tuple[CaseFile, ...]", output: Path, quiet: bool) -> None:
    """Say what came of it: failures on stderr, one line each."""
    failures = list(summary.failures.items())
    for (case, method), sentence in failures[:_MOST_SENTENCES]:
        typer.echo(f"usct: {case}, {method}: {sentence}", err=True)
    if len(failures) > _MOST_SENTENCES:
        typer.echo(
            f"usct: and {len(failures) - _MOST_SENTENCES} more, in {output / 'manifest.json'}", err=True
        )
    if quiet:
        return
    presets = sorted({case.facts.get("tissue_preset", "") for case in cases} - {""})
    tissues = f", tissues of {', '.join(presets)}" if presets else ""
    typer.echo(f"{summary.done} of {summary.total} runs in {output}{tissues}; {duration(summary.seconds)}")
