"""The verbs that say what the data support: diagnose, compare-kernels."""

import dataclasses
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from usct.cli.files import print_rows
from usct.cli.judging import ResultFile
from usct.cli.making import Quiet, Seed
from usct.cli.paths import (
    load_result,
    load_scan,
    load_start,
    prepare_folder,
    prepare_hdf5,
    prepare_output,
    sha256,
)
from usct.cli.progress import Narrator
from usct.cli.rerunning import load_inputs
from usct.errors import InputError
from usct.units import MILLIMETRE

if TYPE_CHECKING:
    from usct.diagnosis import Diagnosis, Portraits

MOST_POINTS = 8
"""Points along a run at which its kernel is looked at; each takes a solution of the wave equation."""

ALL = "pixel,tailored,fourier,siren,multigrid,hybrid"
Modes = Annotated[int, typer.Option(min=1, max=4096, help="Patterns to find one by one.")]
Noise = Annotated[
    float | None, typer.Option(help="Energy of the data over the noise in dB; none: found in the data.")
]
_UNITS = {"mhz": Decimal("1e6"), "khz": Decimal("1e3"), "hz": Decimal(1)}


def diagnose(
    result_file: ResultFile,
    scan: Annotated[Path, typer.Option(help="The scan that the result was made from.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write; a figure .png goes beside it.")
    ],
    start: Annotated[
        Path | None,
        typer.Option(help="Start model of the run; none: the one beside the result, if it had one."),
    ] = None,
    water: Annotated[Path | None, typer.Option(help="Water shot of the run; none: likewise.")] = None,
    at: Annotated[
        str,
        typer.Option(metavar="start|end|CHECKPOINT", help="Which point of the run; or a checkpoint's file."),
    ] = "end",
    frequency: Annotated[
        str | None,
        typer.Option(help="Whose data to look at: 300kHz, 0.3MHz, or all; none: the last that the run used."),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(
            "--point",
            metavar="X,Y",
            help="Where to look at what a step moves, in mm; repeatable. None: middle, halfway and near the rim.",
        ),
    ] = None,
    modes: Modes = 16,
    steps: Annotated[
        int, typer.Option(min=0, max=100, help="Gradient steps to try; each solves the wave equation.")
    ] = 3,
    maps: Annotated[
        bool, typer.Option(help="Map resolution and uncertainty, which takes a third of the time.")
    ] = True,
    snr_db: Noise = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Describe plain gradient steps even where Adam made the image.")
    ] = False,
    constant: Annotated[
        bool, typer.Option(help="Keep what changes the whole image alike in patterns and spectra.")
    ] = True,
    along: Annotated[
        Path | None,
        typer.Option(
            help="Folder of 'usct reconstruct --keep': follow how the kernel moved along the run, up to 8 points."
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", "--csv", help="Folder for all of it: tables as CSV, panels as PNG."),
    ] = None,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0.")] = "auto",
    quiet: Quiet = False,
) -> None:
    """Tell what the data support before you trust an image: which detail, how surely, and whether to go on.

    The figure shows the image, its smallest supported detail and its uncertainty; patterns that the data see,
    and how strongly; which detail an update can make; and whether steps do what theory foretells. The file holds
    all of it as arrays with units. All rests on waves linearised at one point, and on a level of noise.

    [bold]Examples:[/bold]

      usct diagnose result.h5 --scan scan.h5 -o kernels.h5
      usct diagnose result.h5 --scan scan.h5 -o start.h5 --at start --frequency 300kHz --point 0,20 --export all/
      usct info kernels.h5
    """
    from usct import api, io
    from usct.diagnostics.sides import Options

    wanted, place, points_along = parse_frequency(frequency), _place(at), _checkpoints(along)
    options = Options(modes, steps, maps=maps, snr_db=snr_db, seed=seed, constant=constant)
    options = dataclasses.replace(options, points=parse_points(points or []))
    figure = output.with_suffix(".png")
    prepare_hdf5(output, result_file, scan, start, water)
    prepare_output(figure, result_file, scan, start, water)
    if export is not None:
        prepare_folder(export)
    result = load_result(result_file)
    blind = load_inputs(result, result_file, scan, start, water)
    with Narrator(quiet) as narrator:
        made = api.diagnose(result, blind, wanted, place, options, plain, device, narrator.step, points_along)
    made = _signed(made, result_file, scan, result.provenance.get("scan_sha256"))
    io.save(made, output)
    files = _draw(made, result_file.name, figure, export)
    if not quiet:
        _summarise(made, output, figure, files)


def _draw(made: "Diagnosis", title: str, figure: Path, folder: Path | None) -> tuple[Path, ...]:
    """Write the page and, into a folder, tables and panels; returns the folder's files."""
    from usct.io import atomic
    from usct.io.kernel_tables import write_csv
    from usct.report.drawing import png
    from usct.report.kernels import kernels_figure, panels

    atomic.write_bytes(figure, png(kernels_figure(made, title)))
    if folder is None:
        return ()
    pictures = {folder / f"{name}.png": panel for name, panel in panels(made).items()}
    for path, panel in pictures.items():
        atomic.write_bytes(path, png(panel))
    return (*write_csv(made, folder), *pictures)


def compare_kernels(
    scan: Annotated[Path, typer.Argument(help="Scan of a ring array, native or foreign format.")],
    parameterizations: Annotated[
        str, typer.Option(help="What to compare, with commas; see 'usct reconstruct --help'.")
    ] = ALL,
    frequency: Annotated[
        str | None, typer.Option(help="Whose data to look at: 300kHz, 0.3MHz, or all; none: the lowest.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="SPEED|FILE",
            help="Where to start: a uniform sound speed in m/s, or a start model's file; none: found or given.",
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings by name; a wrong name lists them all.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting over them for all; repeatable."),
    ] = None,
    modes: Modes = 16,
    snr_db: Noise = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Describe plain gradient steps even where Adam would train.")
    ] = False,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for kernels.html, kernels.png and kernels.json.")
    ] = Path("kernels"),
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Lay the kernels of representations side by side: what each would learn from a scan, and how fast.

    No image is made: kernels are those at the start of a run. The page shows their spectra,
    what they let through at each size of detail, and how many numbers the data determine through each of them.

    [bold]Example:[/bold]  usct compare-kernels scan.h5 --parameterizations pixel,tailored,siren -o kernels/
    """
    from usct import kernel_comparison as verb
    from usct.diagnostics.sides import Options

    wanted, names = parse_frequency(frequency), parameterizations.split(",")
    files = {kind: output / f"kernels.{kind}" for kind in ("html", "png", "json")}
    uniform, model = parse_start(start)
    for file in files.values():
        prepare_output(file, scan, model)
    options = Options(n_modes=modes, snr_db=snr_db, seed=seed)
    acquisition = load_scan(scan)
    if model is not None:
        acquisition = dataclasses.replace(acquisition, start=load_start(model))
    with Narrator(quiet) as narrator:
        made = verb.compare_kernels(
            acquisition, names, wanted, uniform, preset, settings or (), options, plain, narrator.step
        )
    _lay_out(dataclasses.replace(made, scan=scan.name), files, quiet)


def _lay_out(made: "Portraits", files: dict[str, Path], quiet: bool) -> None:
    """Write page, figure and numbers, and print what they say."""
    from usct.io import atomic
    from usct.report.kernel_comparison import row, verdict, write_portraits

    atomic.write_text(files["json"], json.dumps(made.as_dict(), indent=2, allow_nan=False) + "\n")
    write_portraits(files["html"], files["png"], made)
    if quiet:
        return
    for sentence in verdict(made):
        typer.echo(sentence)
    texts = [
        (p.name, p.message or f"{row(p)[3]} numbers determined, decay exponent {row(p)[5]}")
        for p in made.portraits
    ]
    print_rows([*texts, ("Page", str(files["html"]))])


def parse_start(text: str | None) -> tuple[float | None, Path | None]:
    """A uniform sound speed [m/s], or the file of a start model."""
    if text is None:
        return None, None
    try:
        return float(text), None
    except ValueError:
        return None, Path(text)


def parse_frequency(text: str | None) -> float | Literal["all"] | None:
    """Read a frequency with its unit [Hz], or "all".

    Raises:
        InputError: If the text is neither, or not above zero.
    """
    if text is None:
        return None
    lower = text.strip().lower()
    if lower == "all":
        return "all"
    unit = next((name for name in _UNITS if lower.endswith(name)), None)
    rule = "give one such as 300kHz or 0.3MHz, or all"
    try:
        value = float(Decimal(lower.removesuffix(unit or "").strip()) * _UNITS[unit or ""])
    except (ArithmeticError, KeyError):  # Decimal's complaint about any text that is no number
        raise InputError(f"--frequency is {text!r}, which is no frequency with its unit; {rule}.") from None
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"--frequency is {text!r}, which is not above zero; {rule}.")
    return value


def parse_points(texts: list[str]) -> tuple[tuple[float, float], ...]:
    """Read points such as 12.5,-30, across and down in mm; (y, x) [m].

    Raises:
        InputError: If a text is not two numbers.
    """
    points = []
    for text in texts:
        try:
            x, y = (float(part) * MILLIMETRE for part in text.split(","))
        except ValueError:
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError(
                f"--point is {text!r}, which is not two numbers; give x and y in mm such as 12.5,-30."
            )
        points.append((y, x))
    return tuple(points)


def _place(at: str) -> Literal["start", "end"] | Path:
    """Start, end, or a checkpoint that is there."""
    if at == "start":
        return "start"
    if at == "end":
        return "end"
    path = Path(at)
    if not path.is_file():
        raise InputError(f"--at is {at!r}, which is no file; give start, end, or a checkpoint of the run.")
    return path


def _checkpoints(folder: Path | None) -> list[Path]:
    """Checkpoints of a folder in the order of their updates, a few of them evenly chosen."""
    if folder is None:
        return []
    files = sorted(folder.glob("*.checkpoint"))
    if not files:
        raise InputError(
            f"--along is '{folder}', which holds no checkpoints; give a folder of 'usct reconstruct --keep'."
        )
    n = min(MOST_POINTS, len(files))
    return [files[round((number + 1) * len(files) / n) - 1] for number in range(n)]


def _signed(made: "Diagnosis", result_file: Path, scan: Path, made_from: str | None) -> "Diagnosis":
    """The diagnosis with the names and sums of its files, and a word if the scan was written anew since."""
    facts = {"result": result_file.name, "scan": scan.name, "scan_sha256": sha256(scan)}
    if made_from is not None and made_from != facts["scan_sha256"]:
        facts["note"] = "the scan's file is not the one, byte for byte, that the result was made from"
    return dataclasses.replace(made, provenance={**made.provenance, **facts})


def _summarise(made: "Diagnosis", output: Path, figure: Path, files: tuple[Path, ...]) -> None:
    """Print the findings, and where the files are."""
    from usct.reconstruction import RESEARCH_USE_ONLY

    for sentence in made.summary:
        typer.echo(sentence)
    rows = [("Kernels", str(output)), ("Figure", str(figure))]
    rows += [("Tables, panels", f"{len(files)} files in {files[0].parent}")] if files else []
    rows += [("Note", made.provenance["note"])] if "note" in made.provenance else []
    print_rows(rows)
    typer.echo(RESEARCH_USE_ONLY)
