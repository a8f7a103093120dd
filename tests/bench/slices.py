"""A breast slice by slice against true 3-D: `python -m tests.bench.slices [--elements 64] [--seed 3]`.

A ring of points about a breast is simulated in three dimensions, its waves are turned into those of line sources, and
what comes out is held against the plane's own simulation: trace by trace, and after the inversion of both in the plane.
Two controls tell the parts of the error apart: the same ring in water alone, and about the slice continued straight up
and down, whose waves differ from the plane's by no more than that correction. Discs, which send less
out of the plane than points, are held against strips. Sound speed alone; same pulses, no noise.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from usct import api
from usct import phantom as phantoms
from usct.acquisition import Acquisition, TransducerArray
from usct.calibration.line_source import spread_as_lines
from usct.config import load_config
from usct.evaluation import evaluate
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.simulating import TraceSettings, simulate_traces

RADIUS = 85e-3
BAND = (100e3, 200e3)
FREQUENCIES_MHZ = (0.1, 0.125, 0.15, 0.175, 0.2)
DURATION = 200e-6
HEIGHT = -10e-3
"""Of the ring; the chest wall is at about -34 mm, the tip at 21 mm [m]."""
SPACING = 1.5e-3
WIDTHS = (10e-3, 20e-3, 40e-3)
"""Of discs, which in the plane are strips [m]."""


def breast(seed: int) -> tuple[Phantom, int]:
    """A volume of sound speed alone, and the plane nearest to the ring."""
    made = phantoms.make_volume("breast", seed, SPACING)
    grid = made.medium.grid
    plane = int((grid.axis(0) - HEIGHT).abs().argmin())
    # The ring lies on that plane, at height zero from now on.
    about = Grid(grid.shape, grid.spacing, (grid.origin[0] - float(grid.axis(0)[plane]), *grid.origin[1:]))
    return replace(made, medium=Medium(about, made.medium.sound_speed)), plane


def slice_of(volume: Phantom, plane: int) -> Phantom:
    """One plane of a volume."""
    grid = volume.medium.grid
    flat = Grid(grid.shape[1:], grid.spacing, grid.origin[1:])
    return replace(
        volume,
        medium=Medium(flat, volume.medium.sound_speed[plane].clone()),
        labels=volume.labels[plane].clone(),
    )


def continued(volume: Phantom, plane: int) -> Phantom:
    """That plane at all heights."""
    speed, labels = (
        values[plane].expand(values.shape).clone() for values in (volume.medium.sound_speed, volume.labels)
    )
    return replace(volume, medium=Medium(volume.medium.grid, speed), labels=labels)


def water(volume: Phantom) -> Phantom:
    """Nothing in the ring."""
    speed = torch.full_like(volume.medium.sound_speed, float(volume.medium.sound_speed[0, 0, 0]))
    return replace(volume, medium=Medium(volume.medium.grid, speed), labels=torch.zeros_like(volume.labels))


def scan(body: Phantom, n_elements: int, n_transmits: int, width: float | None = None) -> Acquisition:
    """What the ring records; if the body is a volume, as line sources would."""
    ring = TransducerArray.ring(n_elements, RADIUS).with_transmits(n_transmits)
    settings = TraceSettings(BAND, None, seed=1, duration=DURATION, element_width=width)
    with tempfile.TemporaryDirectory() as folder:
        if body.medium.grid.n_dims == 2:
            made = simulate_traces(body, ring, settings, Path(folder) / "rows")
            return replace(made, data=replace(made.data, values=made.data.values.clone()))
        raised = replace(ring, positions=torch.nn.functional.pad(ring.positions, (1, 0)))
        made = simulate_traces(body, raised, settings, Path(folder) / "rows")
        flat = spread_as_lines(made, made.water_sound_speed)
    return replace(flat, array=ring, truth=None)


def difference(found: Acquisition, wanted: Acquisition) -> float:
    """Relative error in the 2-norm of the traces, neighbours within 45 degrees left out."""
    far = found.array.distances() > 2 * RADIUS * 0.38
    a, b = (each.data.values[far].double() for each in (found, wanted))
    return float((a - b).norm() / b.norm())


def image(measured: Acquisition, truth: Medium) -> str:
    """How far the plane's image is from the plane."""
    settings = load_config(None, None, [f"schedule.frequencies_mhz={list(FREQUENCIES_MHZ)}"])
    result = api.reconstruct(replace(measured, truth=None), settings)
    scores = evaluate(result.medium, truth, start=result.start, highest_frequency=1e6 * FREQUENCIES_MHZ[-1])
    return (
        f"RMSE {scores.rmse:.1f} m/s (start {scores.start_rmse:.1f}), resolvable {scores.rmse_resolved:.1f}, "
        f"SSIM {scores.ssim:.2f}"
    )


def main() -> int:
    """Print traces' errors and images' scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elements", type=int, default=64)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--control-transmits", type=int, default=4)
    options = parser.parse_args()
    volume, plane = breast(options.seed)
    section = slice_of(volume, plane)
    began = time.perf_counter()

    def say(text: str) -> None:
        sys.stdout.write(f"[{time.perf_counter() - began:4.0f} s] {text}\n")
        sys.stdout.flush()

    few = options.control_transmits
    for name, body in (("water", water(volume)), ("slice continued up and down", continued(volume, plane))):
        flat = scan(slice_of(body, plane), options.elements, few)
        say(f"traces, {name}: {100 * difference(scan(body, options.elements, few), flat):.1f} %")
    for width in WIDTHS:
        flat, whole = (scan(body, options.elements, few, width) for body in (section, volume))
        say(f"traces, breast, elements of {1e3 * width:g} mm: {100 * difference(whole, flat):.1f} %")
    flat, whole = (scan(body, options.elements, options.elements) for body in (section, volume))
    say(f"traces, breast: {100 * difference(whole, flat):.1f} %")
    say(f"image of the plane's own traces: {image(flat, section.medium)}")
    say(f"image of the volume's traces: {image(whole, section.medium)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
