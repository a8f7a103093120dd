"""Heads through their skulls: `python -m tests.bench.heads [--seeds 1 2 3] [--skulls true wrong water] ...`.

Heads of the stochastic generator with a haemorrhage are scanned by the time-domain engine, with density and
attenuation, an unknown pulse and noise of 30 dB. The inversion starts from the skull as it is, from one whose speed,
density and attenuation are 8.5 % wrong, or from water; the brain starts as water everywhere. Prints errors of brain and
skull, the haemorrhage's contrast against the brain around it and that of its mirrored place, and the area under the
curve (AUC) of telling the two by their contrasts.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from usct import api, phantom
from usct.acquisition import Acquisition, TransducerArray
from usct.config import load_config
from usct.evaluation.intervals import bootstrap
from usct.evaluation.roc import clustered_auc
from usct.grid import resample
from usct.medium import Medium
from usct.phantom import Phantom
from usct.phantom.tissue import load_tissues
from usct.simulating import TraceSettings, simulate_traces

RADIUS = 0.11
WRONG = 0.085
"""Relative error of the wrong skull's speed; its density and attenuation are wrong by as much."""

NEAR = 0.03
"""Brain within this distance of a haemorrhage's middle is what it is compared with [m]."""
RIM = 3e-3
"""Of the brain, left out of its error: cells there hold bone as well [m]."""


@dataclass(frozen=True)
class Row:
    """What one reconstruction came to; speeds in m/s.

    `uniform` is the error of the best uniform brain: only below it does an image tell anything but a mean.
    """

    seed: int
    skull: str
    freedom: float
    brain_start: float
    brain: float
    uniform: float
    bone_start: float
    bone: float
    contrast: float
    true_contrast: float
    mirrored: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.seed:4d} {self.skull:6s} {self.freedom:5.2f}  {self.brain_start:6.1f} {self.brain:6.1f} "
            f"{self.brain / self.brain_start:6.2f} {self.uniform:6.1f}  {self.bone_start:6.0f} {self.bone:6.0f}  "
            f"{self.contrast:6.1f} {self.true_contrast:6.1f} {self.mirrored:6.1f}  {self.seconds:5.0f}"
        )


HEADING = (
    "seed skull  free   brain start/end/ratio/uniform     bone start/end   contrast/true/mirrored  seconds"
)


def scan_of(head: Phantom, n_elements: int, band: tuple[float, float], store: Path, seed: int) -> Acquisition:
    """What a ring records of a head, by the time-domain engine at 30 dB."""
    array = TransducerArray.ring(n_elements, RADIUS)
    settings = TraceSettings(band, 30.0, seed)
    return simulate_traces(head, array, settings, store)


def start_of(head: Phantom, skull: str, sign: int) -> Medium | None:
    """The head with water for its brain, and a skull that is true or wrong; None for water alone.

    Nothing of the brain is known: its density and attenuation are one number each, those of white matter.
    """
    if skull == "water":
        return None
    medium, brain, bone = head.medium, parts(head)[0], parts(head)[1]
    white = load_tissues("itrusst").tissues["white"]
    water = float(medium.sound_speed[0, 0])
    factor = 1.0 + sign * WRONG * (skull == "wrong")
    assert medium.density is not None and medium.attenuation is not None
    speed = torch.where(bone, medium.sound_speed * factor, medium.sound_speed)
    return dataclasses.replace(
        medium,
        sound_speed=torch.where(brain, water, speed),
        density=torch.where(brain, white.density.mean, medium.density * (bone * factor + ~bone)),
        attenuation=torch.where(brain, white.attenuation.mean, medium.attenuation * (bone * factor + ~bone)),
    )


def parts(head: Phantom) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps of the brain with its fluid, the bone, and the haemorrhage."""
    index = {name: number for number, name in enumerate(head.tissues)}

    def of(*names: str) -> torch.Tensor:
        return torch.isin(head.labels, torch.tensor([index[n] for n in names], dtype=head.labels.dtype))

    return (
        of("csf", "grey", "white", "haemorrhage", "ischaemia"),
        of("cortical", "trabecular"),
        of("haemorrhage"),
    )


def reconstruct(head: Phantom, scan: Acquisition, skull: str, freedom: float, settings: Sequence[str]) -> Row:
    """Reconstruct a head and score it."""
    began, seed = time.perf_counter(), int(head.provenance["seed"])
    start = start_of(head, skull, 1 if seed % 2 else -1)
    config = load_config("transcranial", None, [f"start.bone_freedom={freedom}", *settings])
    result = api.reconstruct(dataclasses.replace(scan, truth=None, start=start), config)
    truth, grid = head.medium.sound_speed, head.medium.grid
    images = [resample(medium.sound_speed, medium.grid, grid) for medium in (result.start, result.medium)]
    brain, bone, lesion = parts(head)
    inner = torch.from_numpy(distance_transform_edt(brain.numpy()) * grid.spacing > RIM)

    def error(image: torch.Tensor, where: torch.Tensor) -> float:
        return float((image - truth)[where].square().mean().sqrt())

    def contrast(image: torch.Tensor, place: torch.Tensor) -> float:
        offset = grid.points()[place].mean(dim=0) - grid.points()
        near = brain & ~place & (torch.linalg.vector_norm(offset, dim=-1) < NEAR)
        return float(image[place].mean() - image[near].mean())

    # The same place of the other half holds no haemorrhage: what an observer would be misled by.
    mirrored = lesion.flip(1) & brain & ~lesion

    return Row(
        seed, skull, freedom,
        error(images[0], inner), error(images[1], inner), float(truth[inner].std()),
        error(images[0], bone), error(images[1], bone),
        contrast(images[1], lesion), contrast(truth, lesion), contrast(images[1], mirrored),
        time.perf_counter() - began,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--skulls", nargs="+", default=["true", "wrong", "water"])
    parser.add_argument("--freedom", type=float, nargs="+", default=[0.3])
    parser.add_argument("--elements", type=int, default=128)
    parser.add_argument("--band-khz", type=float, nargs=2, default=[50.0, 150.0])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    say(HEADING)
    for seed in options.seeds:
        head = phantom.make("head_haemorrhage", seed=seed, spacing=0.5e-3)
        band = (1e3 * options.band_khz[0], 1e3 * options.band_khz[1])
        with tempfile.TemporaryDirectory() as folder:
            scan = scan_of(head, options.elements, band, Path(folder) / "rows", seed)
            for skull in options.skulls:
                for freedom in options.freedom if skull != "water" else [1.0]:
                    rows.append(reconstruct(head, scan, skull, freedom, options.set))
                    say(str(rows[-1]))
    for skull in options.skulls:
        say(summary(skull, [row for row in rows if row.skull == skull]))
    return 0


def summary(skull: str, rows: Sequence[Row]) -> str:
    """Brain error over the best uniform brain's and over the start's, contrast and detection, with intervals."""

    def of(values: Sequence[float]) -> str:
        return f"{bootstrap(np.array(values)).text()}, {min(values):.2f} to {max(values):.2f}"

    seen = np.array([row.contrast for row in rows] + [row.mirrored for row in rows])
    present, heads = np.arange(len(seen)) < len(rows), np.array([row.seed for row in rows] * 2)
    detected = clustered_auc(seen, present, heads)
    return (
        f"{skull}, {len(rows)} runs, medians (95 % interval), lowest to highest: brain error over the best uniform "
        f"brain's {of([row.brain / row.uniform for row in rows])}; over the start's "
        f"{of([row.brain / row.brain_start for row in rows])}; contrast recovered "
        f"{of([row.contrast / row.true_contrast for row in rows])}; AUC {detected.text()}"
    )


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
