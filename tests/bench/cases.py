"""Cases of the repository against the scores that their files promise: `python -m tests.bench.cases [NAME ...]`.

Each phantom is simulated on a grid of its own with the case's noise, reconstructed without a look at the truth, and
scored by `usct.evaluation`. A line a case: error of the start, of the image, and what the file promises; the exit
code is 1 if one is missed. Where a case knows tissues, such as a skull, its start is the object with water for its
brain, and the error is that of the brain beyond 3 mm of bone, as in `python -m tests.bench.heads`. `--repeat` takes a
second draw of the noise and tells by how much two images of one object differ: limits of agreement (Bland & Altman,
Lancet 327 (1986) 307) of the cells, and the tissues' means.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

import torch

from tests.bench import heads
from usct import api, phantom
from usct.acquisition import TransducerArray
from usct.config import load_config
from usct.evaluation import evaluate
from usct.evaluation.agreement import bland_altman
from usct.grid import resample
from usct.medium import Medium
from usct.phantom import Case, Phantom
from usct.reconstruction import Reconstruction


def main(words: Sequence[str] | None = None) -> int:
    """Run cases; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["disk_ring", "breast_small"], help="cases to run")
    parser.add_argument("--repeat", action="store_true", help="with a second draw of the noise")
    chosen = parser.parse_args(words)
    missed = 0
    for name in chosen.names:
        case = phantom.load_case(name)
        made, began = phantom.make(case.phantom, seed=case.seed), time.process_time()
        if case.uniform_density:
            made = dataclasses.replace(made, medium=dataclasses.replace(made.medium, density=None))
        result = image(case, made, case.noise_seed)
        before, after = (error(case, made, medium) for medium in (result.start, result.medium))
        met = after <= case.expected_rmse
        missed += not met
        sys.stdout.write(
            f"{name:14s} start {before:5.1f}, image {after:5.2f}, promised "
            f"{case.expected_rmse:g} m/s: "
            f"{'met' if met else 'MISSED'}; {time.process_time() - began:.0f} processor s\n"
        )
        if chosen.repeat:
            again = image(case, made, case.noise_seed + 1)
            for line in agreement(made, result.medium, again.medium):
                sys.stdout.write(f"  {line}\n")
        sys.stdout.flush()
    return int(missed > 0)


def image(case: Case, made: Phantom, noise_seed: int) -> Reconstruction:
    """The reconstruction of a case, by the settings that its file implies."""
    scan = api.simulate(
        made,
        TransducerArray.ring(case.elements, 1e-3 * case.ring_radius_mm),
        [1e6 * f for f in case.frequencies_mhz],
        snr_db=case.snr_db,
        seed=noise_seed,
        spacing=1e-3 * case.simulation_spacing_mm,
    )
    if case.known_tissues:
        start = heads.start_of(made, 0.0)
        settings = ["start.bone_freedom=0.3", f"schedule.frequencies_mhz={list(case.frequencies_mhz)}"]
        config = load_config("head", None, settings)
        return api.reconstruct(dataclasses.replace(scan, truth=None, start=start), config)
    config = load_config(None, None, [f"start.sound_speed={case.start_sound_speed}"])
    return api.reconstruct(dataclasses.replace(scan, truth=None), config)


def error(case: Case, made: Phantom, image: Medium) -> float:
    """Root mean square error of an image, of the brain alone where the skull was known [m/s]."""
    if not case.known_tissues:
        return evaluate(image, made.medium).rmse
    grid = made.medium.grid
    off = resample(image.sound_speed, image.grid, grid) - made.medium.sound_speed
    return float(off[heads.inner(made)].square().mean().sqrt())


def agreement(made: Phantom, one: Medium, other: Medium) -> list[str]:
    """How two images of the same object differ: cell by cell, and in the mean of every tissue."""
    grid = made.medium.grid
    first, second = (medium.resampled(grid).sound_speed for medium in (one, other))
    tissues = [
        (name, made.labels == number)
        for number, name in enumerate(made.tissues)
        if number and bool((made.labels == number).any())
    ]
    inside = made.labels != 0
    found = bland_altman(first[inside].numpy(), second[inside].numpy())
    assert found is not None
    lines = [
        f"two draws of noise: cells differ by {found.bias.value:+.2f} m/s, limits of agreement "
        f"{found.lower.value:+.2f} and {found.upper.value:+.2f}"
    ]
    means = torch.tensor([float((first - second)[where].mean()) for _, where in tissues])
    words = ", ".join(
        f"{name} {value:+.2f}" for (name, _), value in zip(tissues, means.tolist(), strict=True)
    )
    return [*lines, f"means of tissues differ by {words} m/s"]


if __name__ == "__main__":
    sys.exit(main())
