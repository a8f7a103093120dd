"""Which misfits lead home from a start that skips cycles: `python -m tests.bench.skipping`.

Another solver's traces (deepwave) of a disc of 72 mm with six inclusions in a ring of 64 elements, 40 dB, unknown
pulses; 0.25 to 0.4 MHz. The start is water, from which the disc's arrivals are off by a chosen part of the period of
the lowest frequency. Every misfit makes a first stage, least squares the rest; `travel-times` are least squares from
an image of travel times. Results are kept in build/skipping/, and a run that was broken off goes on; `--table` prints
what is there, and draws skipping.png beside it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from tests.bench.deepwave_scan import Settings, simulate
from usct import api, io
from usct.acquisition import Acquisition, TransducerArray
from usct.config import load_config
from usct.evaluation import evaluate
from usct.grid import Grid
from usct.medium import Medium
from usct.misfit.catalogue import BAND_NAMES, SINGLE_NAMES

FOLDER = Path("build") / "skipping"
WATER, BODY, RING = 1480.0, 36e-3, 55e-3
FREQUENCIES = tuple(round(0.25 + 0.025 * n, 3) for n in range(7))
CYCLES = (0.3, 0.6, 0.9, 1.3)
"""By how much the waves through the middle are early, in periods of the lowest frequency."""
TRAVEL_TIMES = "travel-times"
NAMES = (*SINGLE_NAMES, *BAND_NAMES, TRAVEL_TIMES)


def body_speed(cycles: float) -> float:
    """Sound speed of the disc [m/s] whose arrivals are early by so many periods of the lowest frequency."""
    return 1 / (1 / WATER - cycles / (1e6 * FREQUENCIES[0]) / (2 * BODY))


def medium(cycles: float) -> Medium:
    """The disc with inclusions 30 m/s faster and slower, all edges a millimetre wide."""
    grid = Grid.covering(1.05 * RING, 0.5e-3)
    points = grid.points()

    def disc(centre: tuple[float, float], radius: float) -> torch.Tensor:
        away = torch.linalg.vector_norm(points - torch.tensor(centre, dtype=torch.float64), dim=-1)
        soft = torch.sigmoid((radius - away) / 0.5e-3)
        return torch.where(soft > 1e-3, soft, 0.0)

    speed = WATER + (body_speed(cycles) - WATER) * disc((0.0, 0.0), BODY)
    for number in range(6):
        angle, reach = torch.tensor(1.0 + number * torch.pi / 3), (12e-3, 22e-3)[number % 2]
        centre = (float(reach * torch.sin(angle)), float(reach * torch.cos(angle)))
        speed = speed + (30.0 if number < 3 else -30.0) * disc(centre, 5e-3)
    return Medium(grid, speed)


def scan_of(cycles: float) -> Acquisition:
    """The scan, made once and kept."""
    path = FOLDER / f"scan{cycles:g}.h5"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        settings = Settings(spacing=0.5e-3, duration=130e-6, sampling_frequency=2.5e6, seed=4)
        io.save(simulate(medium(cycles), TransducerArray.ring(64, RING), settings), path)
    scan = io.load(path)
    assert isinstance(scan, Acquisition)
    return scan


def run(cycles: float, name: str) -> dict[str, object]:
    """One image from water; the truth is for scoring alone."""
    scan = scan_of(cycles)
    assert scan.truth is not None
    settings = [f"schedule.frequencies_mhz={list(FREQUENCIES)}", "bounds.sound_speed=[1350, 1750]"]
    if name == TRAVEL_TIMES:
        settings += ["start.travel_times=true"]
    else:
        misfits = name if name == "least-squares" else f"{name},least-squares"
        settings += [f"misfit.name={misfits}", f"start.sound_speed={WATER}"]
    began = time.process_time()
    result = api.reconstruct(replace(scan, truth=None), load_config(None, None, settings))
    scores = evaluate(result.medium, scan.truth, result.start, highest_frequency=1e6 * FREQUENCIES[-1])
    return {
        "rmse": scores.rmse,
        "start_rmse": scores.start_rmse,
        "resolvable": scores.rmse_resolved,
        "left": result.history[-1].objective ** 0.5,
        "suspected": result.skips is not None and result.skips.suspected,
        "skips": None if result.skips is None else asdict(result.skips),
        "cpu_seconds": time.process_time() - began,
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """Errors by misfit and delay, as Markdown."""
    rows = [
        f"| first stage | {' | '.join(f'{c:g} periods' for c in CYCLES)} |",
        "| --- |" + " --- |" * len(CYCLES),
    ]
    for name in NAMES:
        cells = [results.get(f"{name}|{cycles:g}") for cycles in CYCLES]
        shown = [
            "-" if c is None else f"{c['rmse']:.1f}" + ", told" * bool(c.get("suspected")) for c in cells
        ]
        rows.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(rows)


def draw(results: dict[str, dict[str, float]], path: Path) -> None:
    """Error over delay, a line for each misfit."""
    from usct.report.drawing import FAINT, blank, png

    figure = blank(6.5, 4.0, bottom=0.25)
    axes = figure.subplots()
    starts = [results.get(f"{NAMES[0]}|{c:g}", {}).get("start_rmse") for c in CYCLES]
    axes.plot(CYCLES, starts, color=FAINT, linestyle="--", label="start: water")
    for name in NAMES:
        errors = [results[key]["rmse"] if (key := f"{name}|{c:g}") in results else None for c in CYCLES]
        axes.plot(CYCLES, errors, marker="o", label=name)
    axes.set(
        xlabel="waves through the middle are early by [periods at 250 kHz]",
        ylabel="error in the object [m/s]",
    )
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    path.write_bytes(png(figure))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, print the table, draw the chart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--misfits", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--cycles", nargs="+", type=float, default=list(CYCLES))
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    path = FOLDER / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for cycles in [] if options.table else options.cycles:
        for name in options.misfits:
            key = f"{name}|{cycles:g}"
            if key not in results:
                results[key] = run(cycles, name)
                path.write_text(json.dumps(results, indent=1))
                sys.stderr.write(f"{key}: {results[key]}\n")
    sys.stdout.write(table(results) + "\n")
    draw(results, FOLDER / "skipping.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
