"""The verb that shows everything at once: demo."""

from pathlib import Path
from typing import Annotated

import typer

from usct.cli import inverting, judging, making, scanning
from usct.cli.making import Quiet, Seed
from usct.cli.paths import prepare_folder

N_ELEMENTS = 256
FREQUENCIES_MHZ = "0.2:0.5:0.05"


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for everything that is made.")
    ] = Path("demo"),
    seed: Seed = 3,
    quiet: Quiet = False,
) -> int:
    """Make a breast phantom, scan it, reconstruct it, score it and write a report.

    [bold]Example:[/bold]  usct demo -o demo/
    """
    prepare_folder(output)
    phantom, scan, result, report = (
        output / name for name in ("phantom.h5", "scan.h5", "result.h5", "report.html")
    )
    _tell("1/4  Making a breast phantom", quiet)
    making.phantom("breast", phantom, seed=seed)
    _tell(f"2/4  Scanning it with a ring of {N_ELEMENTS} elements, at 40 dB, with an unknown pulse", quiet)
    # The inversion knows no density yet: contrasts of it would appear as edges in the sound speed.
    scanning.simulate(
        phantom,
        scan,
        elements=N_ELEMENTS,
        frequencies_mhz=FREQUENCIES_MHZ,
        seed=seed,
        uniform_density=True,
        quiet=quiet,
    )
    _tell("3/4  Reconstructing the sound speed", quiet)
    code = inverting.run(inverting.Job(scan, result, preset="breast", quiet=quiet))
    if code != 0:
        return code
    _tell("4/4  Writing the report", quiet)
    judging.report(result, report, truth=phantom)
    return 0


def _tell(text: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(text)
