"""Verbs for measured scans: check, calibrate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.making import parse_frequencies
from usct.cli.paths import load_scan, load_water, prepare_hdf5, prepare_output
from usct.errors import InputError

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.calibration.water import Calibrated

ScanFile = Annotated[Path, typer.Argument(help="A scan, in any format that usct knows.", metavar="SCAN")]


def check(
    scan_file: ScanFile,
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write all numbers to.")] = None,
    figure: Annotated[Path | None, typer.Option(help="PNG file to draw what was measured to.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Scan to write: dead channels masked, turned polarities turned back."
        ),
    ] = None,
    water_only: Annotated[
        bool, typer.Option("--water-only", help="There is nothing but water in the ring.")
    ] = False,
) -> int:
    """Check what a scan recorded: dead, noisy, clipped, turned, late or misplaced elements, noise, bands.

    What a file cannot show, such as noise in spectra, is said to be not checked. Exit code 0 if nothing is wrong,
    1 if something is.

    [bold]Example:[/bold]  usct check scan.h5 --json check.json --figure check.png -o mended.h5
    """
    from usct import io
    from usct.calibration.checking import check as examine
    from usct.calibration.quality import mend
    from usct.io import atomic
    from usct.report.drawing import png
    from usct.report.quality import quality_figure

    for path in (json_file, figure):
        if path is not None:
            prepare_output(path, scan_file)
    if output is not None:
        prepare_hdf5(output, scan_file)
    scan = load_scan(scan_file)
    try:
        report = examine(scan, water_only)
    except InputError as error:
        raise InputError(f"{scan_file}: {error}") from None
    print_rows(report.rows())
    if json_file is not None:
        facts = {"scan": scan_file.name, **report.as_dict()}
        atomic.write_text(json_file, json.dumps(facts, indent=2, allow_nan=False) + "\n")
    if figure is not None:
        atomic.write_bytes(figure, png(quality_figure(report, scan_file.name)))
    if output is not None:
        io.save(mend(scan, report), output)
        typer.echo(f"Wrote {output}")
    return 1 if report.faults else 0


def calibrate(
    scan_file: ScanFile,
    water: Annotated[
        Path,
        typer.Option(help="Scan of the same ring with nothing but water in it, or a scan with such a shot."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Calibrated scan to write.")],
    temperature: Annotated[
        float | None,
        typer.Option(
            "--water-temperature",
            min=0,
            max=70,
            help="Of the water shot in degrees Celsius; the ring's size is found. None: sound speed found, size kept.",
        ),
    ] = None,
    spherical: Annotated[
        bool, typer.Option("--spherical", help="Elements are points in space: correct for a 2-D model.")
    ] = False,
    reference_mhz: Annotated[
        str | None,
        typer.Option(
            help="Write spectra over those of the water shot, at first:last:step or a list, in MHz."
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write all numbers to.")] = None,
) -> None:
    """Calibrate a scan by a water shot: element positions, delays, gains, polarity, sound speed; mask what is dead.

    Positions and delays come from all arrival times by robust least squares; the residual is told. A scan whose
    pulse, directivity and spreading are not known is best referenced to the water shot.

    [bold]Example:[/bold]  usct calibrate scan.h5 --water water.h5 -o calibrated.h5 --water-temperature 24.6
    """
    from usct import io
    from usct.calibration.line_source import spread_as_lines
    from usct.calibration.water import calibrate as put_right
    from usct.io import atomic

    if spherical and reference_mhz is not None:
        raise InputError(
            "--spherical and --reference-mhz both correct for spreading in space; give one of them."
        )
    frequencies = None if reference_mhz is None else parse_frequencies(reference_mhz, "--reference-mhz")
    prepare_hdf5(output, scan_file, water)
    if json_file is not None:
        prepare_output(json_file, scan_file, water)
    shot = load_water(water, scan_file)
    try:
        made = put_right(load_scan(scan_file), shot, temperature)
    except InputError as error:
        raise InputError(f"{scan_file} with {water}: {error}") from None
    calibrated = made.scan
    if spherical:
        calibrated = spread_as_lines(calibrated, calibrated.water_sound_speed or made.calibration.sound_speed)
    if frequencies is not None:
        calibrated = _referenced(made, shot, frequencies)
    io.save(calibrated, output)
    print_rows(made.calibration.rows())
    for found in made.report.faults:
        typer.echo(f"{found.name}: {found.text}")
    if json_file is not None:
        facts = {"scan": scan_file.name, "water": water.name, **made.calibration.as_dict()}
        atomic.write_text(json_file, json.dumps(facts, indent=2, allow_nan=False) + "\n")
    typer.echo(f"Wrote {output}")


def _referenced(made: "Calibrated", shot: "Acquisition", frequencies: list[float]) -> "Acquisition":
    """The scan's spectra over the water shot's, both calibrated."""
    from dataclasses import replace

    import torch

    from usct.calibration.line_source import referenced_to_water
    from usct.calibration.water import apply_calibration

    wanted = torch.tensor(frequencies, dtype=torch.float64)
    corrected = apply_calibration(made.calibration, shot)
    try:
        spectra, in_water = made.scan.spectra(wanted), corrected.spectra(wanted)
    except ValueError as error:
        raise InputError(f"--reference-mhz: {error}.") from None
    data = referenced_to_water(spectra, in_water, made.scan.array, made.calibration.sound_speed)
    return replace(made.scan, data=data)
