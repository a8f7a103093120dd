"""Verbs for measured scans: check, calibrate."""

import json
from pathlib import Path
from typing import Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.paths import load_scan, prepare_hdf5, prepare_output
from usct.errors import InputError

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
