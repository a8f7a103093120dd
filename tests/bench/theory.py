"""Where the theory of kernels meets its limits, charted on small rings: `python -m tests.bench.theory`.

*Trade-off*: full waveform inversion of one frequency from water, of a disc with a hole that delays waves by some share
of a period. Sharp and wide kernels against smooth and narrow ones, then all representations with the same budget of
factorisations: in how many cases the error fell to 35 % of the start's, and after how many factorisations.

*Adaptivity*: two steps with the kernel that the data choose, against the best of a bank of kernels chosen by looking
at the truth; and what the data choose if the waves that made them are others than the inversion's.

*Coverage*: how often errors of twenty scans that differ by their noise lay within what was announced, as figures.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tests.diagnostics import test_calibration as calibrated
from tests.theory import test_prediction as adaptive
from tests.theory import test_robustness as trade
from tests.theory.conftest import Linearized, linearized
from tests.theory.ring import WATER, Ring
from tests.theory.test_dynamics import phantom
from usct import api
from usct.acquisition import Acquisition
from usct.config import load_config
from usct.diagnostics.uncertainty import calibration
from usct.inversion.tailoring import measure
from usct.medium import Medium
from usct.report.coverage import coverage_figure
from usct.report.drawing import png

SHARPNESS, REACH = (0.0, 0.5, 1.0), (0.2, 0.35, 0.5)
CONTRASTS = (0.06, 0.08, 0.1, 0.12, 0.14)
REPRESENTATIONS = ("pixel", "filtered", "tailored", "fourier", "siren", "multigrid", "hybrid")
BUDGET = 12
LOUDNESS, DRAWS = (0.02, 0.2, 0.6), (3, 4, 5)
Row = dict[str, object]


def kernels() -> list[Row]:
    """Success and updates of every kernel, over all contrasts."""
    rows: list[Row] = []
    for sharpness in SHARPNESS:
        for reach in REACH:
            counts = [trade.iterations(contrast, sharpness, reach) for contrast in CONTRASTS]
            rows.append({"sharpness": sharpness, "reach": reach} | _summary(counts))
            _say(rows[-1])
    return rows


def representations() -> list[Row]:
    """The same for every representation with its own optimizer, in factorisations."""
    rows: list[Row] = []
    for name in REPRESENTATIONS:
        rows.append({"name": name} | _summary([_solves(name, contrast) for contrast in CONTRASTS]))
        _say(rows[-1])
    return rows


def _solves(name: str, contrast: float) -> int | None:
    """Factorisations until the error is small; None if it never is."""
    ring, found = trade.RING, []
    spectra = trade.observed(contrast)
    settings = [
        f"parameterization.name={name}",
        f"schedule.max_solves={BUDGET}",
        f"start.sound_speed={WATER}",
        "misfit.source_weights=none",
        "misfit.mute_angle_deg=0",
        "misfit.outlier_fraction=0",
    ]
    scan = Acquisition(ring.array, spectra, WATER)

    def note(iterate) -> None:  # type: ignore[no-untyped-def]
        image = iterate.medium.resampled(ring.image).sound_speed[ring.region]
        truth = trade.phantom(ring.image, contrast).sound_speed[ring.region]
        if float((image - truth).norm()) < trade.ENOUGH * float((WATER - truth).norm()):
            found.append(iterate.record.n_solves)

    api.reconstruct(scan, load_config(None, None, settings), note)
    return found[0] if found else None


def _summary(counts: Sequence[int | None]) -> Row:
    """How many succeeded, and the median effort of those of the smallest two contrasts, which most manage."""
    easy = [count for count in counts[:2] if count is not None]
    most = [c for c, count in zip(CONTRASTS, counts, strict=True) if count is not None]
    return {
        "succeeded": sum(count is not None for count in counts),
        "of": len(counts),
        "largest_contrast": max(most, default=None),
        "effort": statistics.median(easy) if easy else None,
    }


def choices() -> list[Row]:
    """Error of what the data choose over that of the best of a bank of kernels."""
    small = linearized(Ring.of(14.0, 32))
    bank = adaptive.bank.__wrapped__(small)
    truth = phantom(small.ring, 0.01)[small.ring.region]
    clean, rows = small.jacobian @ truth, []
    for loudness in LOUDNESS:
        ratios = []
        for draw in DRAWS:
            generator = torch.Generator().manual_seed(draw)
            noise = torch.randn(len(clean), generator=generator, dtype=torch.float64)
            data = clean + loudness * clean.norm() / len(clean) ** 0.5 * noise
            ratios.append(_chosen(small, data, truth) / adaptive.oracle(small, bank, data, truth))
        rows.append({"noise": loudness, "over_oracle": [round(ratio, 3) for ratio in ratios]})
        _say(rows[-1])
    return rows


def _chosen(small: Linearized, data: torch.Tensor, truth: torch.Tensor) -> float:
    """Error after two steps with what the data choose."""
    ring, image, unfitted = small.ring, torch.zeros_like(truth), None
    everywhere = torch.ones(ring.image.shape, dtype=torch.float64)
    for seed in range(2):
        rest = data - small.jacobian @ image
        at = adaptive.seen(small, ring.pixels(), rest)
        found, unfitted = measure(at, ring.image, ring.region, everywhere, 1.8 * ring.wave, seed, unfitted)
        image = image + adaptive.most_probable(small, found, rest)
    return float((image - truth).norm() / truth.norm())


def misspecified() -> list[Row]:
    """What the data choose if density, loss, a skull's speed or the elements' places are not modelled.

    The reach is the wavenumber, over the diffraction limit, at which data say as much as noise does.
    """
    ring = Ring.of(14.0, 32, ratio=2.0)
    small, water = linearized(ring), ring.models()[0]
    change = phantom(ring, 0.01)
    speed = torch.full(water.grid.shape, WATER, dtype=torch.float64)
    offset = [
        round((a - b) / ring.spacing) for a, b in zip(ring.image.origin, water.grid.origin, strict=True)
    ]
    inside = tuple(slice(o, o + n) for o, n in zip(offset, ring.image.shape, strict=True))
    slow = torch.zeros_like(speed)
    slow[inside] = change
    speed = WATER * torch.exp(-slow)
    dense = 1000.0 * (1 + 10 * slow)
    lossy = 80.0 * (slow.abs() > 0.002)
    distance = torch.linalg.vector_norm(water.grid.points(), dim=-1) / ring.object_radius
    shell = ((distance > 0.82) & (distance < 0.95)).double()
    cases = {
        "nothing": Medium(water.grid, speed),
        "density": Medium(water.grid, speed, density=dense),
        "loss": Medium(water.grid, speed, attenuation=lossy, reference_frequency=ring.frequencies[0]),
        "shell 5 % off": Medium(water.grid, speed * (1 + 0.05 * shell)),
    }
    base = water.linearize(Medium.homogeneous(water.grid, WATER), ring.frequencies[0]).data
    rows = []
    for name, medium in cases.items():
        data = water.linearize(medium, ring.frequencies[0]).data - base
        rows.append({"unmodelled": name} | _reach(small, data))
        _say(rows[-1])
    moved = ring.array.positions + 0.02 * WATER / ring.frequencies[0] * torch.randn(
        ring.array.positions.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    elsewhere = replace(water, array=replace(ring.array, positions=moved))
    data = elsewhere.linearize(cases["nothing"], ring.frequencies[0]).data - base
    rows.append({"unmodelled": "places 2 % of a wave off"} | _reach(small, data))
    _say(rows[-1])
    return rows


def _reach(small: Linearized, data: torch.Tensor) -> Row:
    """Noise and reach that data lead to, with per cent noise added."""
    ring, generator = small.ring, torch.Generator().manual_seed(7)
    scale = data.abs().square().mean().sqrt()
    noise = (
        0.01 * scale * torch.randn(2, *data.shape, generator=generator, dtype=torch.float64) / math.sqrt(2)
    )
    told = (data + torch.complex(noise[0], noise[1])) * small.point.residuals[0].weights.sqrt()
    target = torch.cat([told.real.reshape(-1), told.imag.reshape(-1)])
    at = adaptive.seen(small, ring.pixels(), target)
    everywhere = torch.ones(ring.image.shape, dtype=torch.float64)
    found, _ = measure(at, ring.image, ring.region, everywhere, 1.8 * ring.wave, 0)
    waves = torch.linspace(0.05, 1.8, 200, dtype=torch.float64) * ring.wave
    told_more = found.gain(waves) * found.prior(waves) > found.noise
    reach = float(waves[told_more].max() / (2 * ring.wave)) if bool(told_more.any()) else 0.0
    energy = float(target.square().mean())
    return {"reach": round(reach, 3), "noise_share": round(found.noise / energy, 4)}


def coverage() -> list[Row]:
    """Errors of twenty scans that differ by their noise against what was announced, with a figure for each image."""
    fitted, probable, (of_fitted, of_probable), _ = calibrated.runs.__wrapped__()
    rows: list[Row] = []
    kinds = (("most probable", probable, of_probable), ("fitted by least squares", fitted, of_fitted))
    for name, errors, deviation in kinds:
        found = calibration(errors, deviation)
        scales = [float(v[torch.isfinite(v)].square().mean().sqrt()) for v in (deviation, errors)]
        rows.append(
            {
                "image": name,
                "announced": [round(v, 2) for v in found.nominal.tolist()],
                "found": [round(v, 3) for v in found.empirical.tolist()],
                "announced_speed": round(scales[0], 2),
                "found_speed": round(scales[1], 2),
            }
        )
        _say(rows[-1])
        path = Path("build") / f"coverage {name}.png".replace(" ", "-")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(coverage_figure(found, f"Twenty scans, image {name}")))
    return rows


def _say(row: Row) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


PARTS = {
    "coverage": coverage,
    "kernels": kernels,
    "representations": representations,
    "choices": choices,
    "misspecified": misspecified,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Chart what is asked for, print a line for every row, and write all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("build/theory.json"))
    options = parser.parse_args(arguments)
    made = {name: PARTS[name]() for name in options.parts}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
