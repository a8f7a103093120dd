"""Travel times on the command line: `usct reconstruct --method travel-time`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from usct.cli.files import print_rows
from usct.cli.paths import load_scan, load_truth, load_water, prepare_hdf5, prepare_output
from usct.cli.progress import Narrator, duration
from usct.errors import InputError

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.cli.inverting import Job
    from usct.travel_times import TravelTimes

Method = Literal["auto", "waveform", "travel-time"]


def travel_times_of(
    scan: Path, method: Method, positions: Path | None, temperature: float | None, water: Path | None = None
) -> "TravelTimes | None":
    """Travel times to make an image of, or None where waveforms are to be inverted.

    Args:
        scan: The file.
        method: auto goes by what is in the file.
        positions: File of the element positions, for travel times.
        temperature: Of the water, for travel times [degree Celsius].
        water: Shot in water alone, against which arrivals are picked.

    Raises:
        InputError: If the file cannot be read, or does not suit the method and options.
    """
    from usct import io
    from usct.acquisition import Acquisition
    from usct.travel_times import TravelTimes

    wanted = positions is not None or temperature is not None
    # Only the names in the file are looked at here: a scan of waveforms is large, and read later.
    if not wanted and method != "travel-time" and not io.holds_travel_times(scan):
        return None
    thing = io.load(scan, positions)
    if isinstance(thing, TravelTimes):
        if method == "waveform":
            raise InputError(f"{scan}: holds travel times, no waveforms; leave --method out.")
        return thing
    if method == "travel-time" and isinstance(thing, Acquisition):
        return picked(thing, scan, water)
    option = "--method travel-time" if not wanted else "--positions" if positions else "--water-temperature"
    raise InputError(f"{scan}: holds no travel times; leave {option} out.")


def pick(
    scan: Annotated[Path, typer.Argument(help="A scan with traces, in any format that usct knows.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Travel times to write.")],
    water: Annotated[
        Path | None, typer.Option(help="Scan of the same ring with nothing but water in it.")
    ] = None,
) -> None:
    """Pick the first arrivals of a scan, against a water shot or against water of the scan's sound speed.

    [bold]Example:[/bold]  usct pick scan.h5 --water water.h5 -o times.h5
    """
    from usct import io

    prepare_hdf5(output, scan, water)
    times = picked(load_scan(scan), scan, water)
    io.save(times, output)
    share = 100 * times.n_picks / times.delays.numel()
    typer.echo(f"Wrote {output}: {times.n_picks} arrivals, {share:.0f} % of the channels")


def picked(scan: "Acquisition", path: Path, water: Path | None = None) -> "TravelTimes":
    """Travel times picked in a scan.

    Raises:
        InputError: If it holds spectra, nothing can be picked, or the water shot was recorded otherwise.
    """
    from usct.acquisition import Traces
    from usct.starting.travel_time.picking import pick as pick_arrivals

    if not isinstance(scan.data, Traces):
        raise InputError(f"{path}: holds spectra, in which no arrival can be picked; give traces.")
    try:
        return pick_arrivals(scan, None if water is None else load_water(water, path))
    except ValueError as error:
        raise InputError(f"{path}: {error}.") from None


def run(job: "Job", times: "TravelTimes", temperature: float | None) -> int:
    """Make one image of travel times, write result and figure, print a summary.

    Raises:
        InputError: If travel times, settings or output are at fault; nothing has been written then.
    """
    from usct import io
    from usct.cli.inverting import draw_and_score, signed
    from usct.config import load_config
    from usct.reconstruction import RESEARCH_USE_ONLY
    from usct.travel_time_reconstruction import reconstruct_travel_times

    config = load_config(job.preset, job.config, job.overrides)
    prepare_hdf5(job.output, job.scan, job.config, job.truth)
    prepare_output(job.figure)
    truth = None if job.truth is None else load_truth(job.truth)
    began = time.monotonic()
    with Narrator(job.quiet) as narrator:
        result = signed(reconstruct_travel_times(times, config, temperature, narrator.step), job)
    io.save(result, job.output)
    scores = draw_and_score(result, truth, job)
    if job.quiet:
        return 0
    typer.echo(result.message)
    facts = result.provenance
    rows = [("Time", duration(time.monotonic() - began))]
    rows += list(scores.rows()) if scores is not None else []
    shown = {"Rays": "rays", "Weight": "regularization", "Picks": "picks", "Water": "water_sound_speed"}
    rows += [(label, facts[key]) for label, key in (shown | {"Warning": "warning"}).items() if key in facts]
    rows += [("Result", str(job.output)), ("Figure", str(job.figure))]
    print_rows(rows + [("Note", note) for note in times.notes])
    typer.echo(RESEARCH_USE_ONLY)
    return 0
