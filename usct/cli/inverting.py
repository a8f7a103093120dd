"""The verb that makes images: reconstruct."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from usct.cli import timing
from usct.cli.files import Positions, print_rows
from usct.cli.making import Quiet
from usct.cli.paths import (
    load_scan,
    load_start,
    load_truth,
    load_water,
    prepare_folder,
    prepare_hdf5,
    prepare_output,
    sha256,
)
from usct.cli.progress import Narrator, duration

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.evaluation import Scores
    from usct.medium import Medium
    from usct.reconstruction import Reconstruction


@dataclass(frozen=True)
class Job:
    """One reconstruction to be made.

    Attributes:
        scan: File of the scan.
        output: File of the result; figure and checkpoint lie beside it.
        preset: Name of a preset, or None for the default.
        config: TOML file over the preset.
        overrides: Settings over both, as key=value.
        truth: File of the truth where the scan does not carry it.
        resume: Go on from the checkpoint.
        quiet: Say nothing but errors.
        start: File of a model to start from, such as a skull's.
        strict: Whether suspected cycle skips are a failure.
        water: File of a shot in water alone, over whose spectra the scan's are taken.
        keep: Folder in which a checkpoint of every update stays.
    """

    scan: Path
    output: Path
    preset: str | None = None
    config: Path | None = None
    overrides: list[str] = field(default_factory=list)
    truth: Path | None = None
    resume: bool = False
    quiet: bool = False
    start: Path | None = None
    strict: bool = False
    water: Path | None = None
    keep: Path | None = None

    @property
    def figure(self) -> Path:
        """File of the figure."""
        return self.output.with_suffix(".png")

    @property
    def checkpoint(self) -> Path:
        """File from which a cancelled run goes on."""
        return self.output.with_suffix(".checkpoint")


def reconstruct(
    scan: Annotated[Path, typer.Argument(help="Scan of a ring array, native or foreign format.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Result to write; a figure .png goes beside it.")
    ],
    preset: Annotated[str | None, typer.Option(help="Settings by name; a wrong name lists them all.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings over the preset.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting over both; repeatable."),
    ] = None,
    parameterization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What makes the image: tailored (the default), pixel (a third faster), filtered, fourier, siren, "
            "multigrid or hybrid. See 'usct compare'.",
        ),
    ] = None,
    attenuation: Annotated[
        bool,
        typer.Option("--attenuation", help="Seek attenuation as well; takes about twice as long."),
    ] = False,
    edges: Annotated[
        bool,
        typer.Option("--edges", help="Finish with the sharpest image that explains the data as well."),
    ] = False,
    misfit: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="How waves are compared: least-squares (the default), normalised, phase; or, over whole bands, "
            "envelope, transport, adaptive, difference. Several count stage by stage: adaptive,least-squares.",
        ),
    ] = None,
    stop: Annotated[
        Literal["never", "auto"] | None,
        typer.Option(
            help="auto: leave a frequency once only noise is left of its data; never is the default."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:0.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint of a cancelled run.")
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder to keep a checkpoint of every update in; see 'usct diagnose --along'."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Start model: a phantom, a sound-speed map, or 'usct start skull'.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Phantom to score against; never used to make the image.")
    ] = None,
    method: Annotated[
        timing.Method,
        typer.Option(help="Invert waveforms or first arrivals; auto: travel times if the file holds those."),
    ] = "auto",
    positions: Positions = None,
    water: Annotated[
        Path | None,
        typer.Option(
            help="Shot in water alone: spectra are taken over its own, arrivals are picked against it."
        ),
    ] = None,
    water_temperature: Annotated[
        float | None, typer.Option(help="For travel times: of the water [degree Celsius].")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 1 if the image seems to have skipped cycles.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Reconstruct the sound speed from a scan.

    [bold]Examples:[/bold]

      usct reconstruct scan.h5 -o result.h5
      usct reconstruct scan.h5 -o result.h5 --preset breast --set schedule.iterations=3 --device cuda:0
      usct reconstruct scan.h5 -o result.h5 --parameterization siren
      usct reconstruct scan.h5 -o result.h5 --attenuation --edges
      usct reconstruct scan.h5 -o result.h5 --misfit envelope,least-squares
      usct reconstruct scan.h5 -o result.h5 --resume
      usct reconstruct delta_tof.mat --positions elements.mat --water-temperature 20 -o tof.h5
    """
    overrides = list(settings or [])
    if parameterization is not None:
        overrides.append(f"parameterization.name={parameterization}")
    if misfit is not None:
        overrides.append(f"misfit.name={misfit}")
    if attenuation:
        overrides.append("attenuation.invert=true")
    if edges:
        overrides.append("schedule.edges=true")
    if stop is not None:
        overrides.append(f"schedule.stop={stop}")
    if device is not None:
        overrides.append(f"device={device}")
    job = Job(scan, output, preset, config, overrides, truth, resume, quiet, start, strict, water, keep)
    times = timing.travel_times_of(scan, method, positions, water_temperature, water)
    return run(job) if times is None else timing.run(job, times, water_temperature)


def run(job: Job) -> int:
    """Make one reconstruction, write result and figure, print a summary.

    Returns:
        Exit code: 0 done; 1 the inversion broke down and its last good image was written, or strictly, the image
        seems to have skipped cycles; 130 cancelled.

    Raises:
        InputError: If scan, settings or output are at fault; nothing has been written then.
    """
    from usct import api, io
    from usct.config import load_config
    from usct.reconstruction import Status

    config = load_config(job.preset, job.config, job.overrides)
    prepare_hdf5(job.output, job.scan, job.config, job.truth, job.start, job.water)
    prepare_output(job.figure)
    if job.keep is not None:
        prepare_folder(job.keep)
    scan = load_scan(job.scan)
    truth = scan.truth if job.truth is None else load_truth(job.truth)
    began = time.monotonic()
    with Narrator(job.quiet) as narrator:
        # The truth is for scoring: what makes the image never sees it.
        blind = dataclasses.replace(scan, truth=None)
        if job.start is not None:
            blind = dataclasses.replace(blind, start=load_start(job.start))
        if job.water is not None:
            from usct.assembly import referenced

            blind = referenced(blind, load_water(job.water, job.scan), config)
        result = api.reconstruct(blind, config, narrator.iterate, job.checkpoint, job.resume, job.keep)
    if result.status is Status.CANCELLED:
        hint = f"Go on with --resume ({job.checkpoint})." if result.history else "No update was complete yet."
        typer.echo(f"usct: cancelled: {result.message} {hint}", err=True)
        return 130
    result = signed(result, job)
    io.save(result, job.output)
    job.checkpoint.unlink(missing_ok=True)
    scores = draw_and_score(result, truth, job)
    if not job.quiet:
        _summarise(result, scan, scores, job, time.monotonic() - began)
    skipped = result.skips is not None and result.skips.suspected
    return 1 if result.status is Status.NOT_FINITE or (job.strict and skipped) else 0


def draw_and_score(result: "Reconstruction", truth: "Medium | None", job: Job) -> "Scores | None":
    """Write the figure beside the result; score it where the truth is known."""
    from usct.evaluation import evaluate
    from usct.io import atomic
    from usct.report.drawing import png
    from usct.report.figures import reconstruction_figure

    atomic.write_bytes(job.figure, png(reconstruction_figure(result, truth, job.output.name)))
    if truth is None:
        return None
    return evaluate(result.medium, truth, result.start, highest_frequency=result.highest_frequency)


def signed(result: "Reconstruction", job: Job) -> "Reconstruction":
    """The result with its input's name and checksum in the provenance."""
    facts = {"scan": job.scan.name, "scan_sha256": sha256(job.scan)}
    if job.start is not None:
        facts |= {"start": job.start.name, "start_sha256": sha256(job.start)}
    if job.water is not None:
        facts |= {"water_shot": job.water.name, "water_shot_sha256": sha256(job.water)}
    return dataclasses.replace(result, provenance={**result.provenance, **facts})


def _summarise(
    result: "Reconstruction", scan: "Acquisition", scores: "Scores | None", job: Job, seconds: float
) -> None:
    """Print how the run ended, the scores, and where the files are."""
    from usct.reconstruction import RESEARCH_USE_ONLY

    typer.echo(result.message)
    rows = [("Time", f"{duration(seconds)}, {len(result.history)} iterations")]
    rows += list(scores.rows()) if scores is not None else []
    if result.skips is not None:
        rows.append(("Cycle skips", result.skips.sentence()))
    if "warning" in result.provenance:
        rows.append(("Warning", result.provenance["warning"]))
    if "attenuation" in result.provenance:
        rows.append(("Attenuation", result.provenance["attenuation"]))
    rows += [("Result", str(job.output)), ("Figure", str(job.figure))]
    print_rows(rows + [("Note", note) for note in scan.notes])
    typer.echo(RESEARCH_USE_ONLY)
