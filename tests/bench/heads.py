"""Heads through their skulls: `python -m tests.bench.heads --out heads/ [--seeds 1 2] [--skulls true wrong] ...`.

Heads of the stochastic generator with a haemorrhage of 8 to 30 mm are scanned by the time-domain engine, with density
and attenuation, an unknown pulse and noise of 30 dB, and so are the same heads without it. The inversion starts from
the skull as it is, from one whose speed, density and attenuation are 7 to 10 % too high or too low, from one that is
uneven besides, or from water. The brain starts as water everywhere; only density and attenuation of white matter are
told of it. Prints errors of brain and skull, the haemorrhage's contrast against the brain around it and that of its
mirrored place, and the area under the curve (AUC) of telling heads with it from heads without by the difference of the
two. What is in `--out` is not computed again, so that a run can be broken off and gone on with.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
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
from usct.grid import low_pass, resample
from usct.medium import Medium
from usct.phantom import Phantom
from usct.phantom.tissue import load_tissues
from usct.reconstruction import Status
from usct.simulating import TraceSettings, simulate_traces

RADIUS = 0.11
WRONG = 0.07, 0.10
"""Least and greatest relative error of a wrong skull's speed; its density and attenuation are wrong by as much."""
DIAMETERS = 8e-3, 30e-3
"""Of the haemorrhages that are looked at, as circles of equal area [m]."""

NEAR = 0.03
"""Brain within this distance of a haemorrhage's middle is what it is compared with [m]."""
RIM = 3e-3
"""Of the brain, left out of its error: cells there hold bone as well [m]."""


@dataclass(frozen=True)
class Row:
    """What one reconstruction came to; speeds in m/s.

    `uniform` is the error of the best uniform brain: only below it does an image tell anything but a mean. `resolvable`
    is that of the true brain without the detail that waves of the highest frequency cannot resolve. `contrast` is that
    of the haemorrhage's place, also in a head that has none; `mirrored` that of the same place of the other half.
    """

    seed: int
    bleeds: bool
    skull: str
    wrong: float
    brain_start: float
    brain: float
    uniform: float
    resolvable: float
    bone_start: float
    bone: float
    contrast: float
    true_contrast: float
    mirrored: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.seed:4d} {'yes' if self.bleeds else 'no':>5s} {self.skull:6s} {100 * self.wrong:5.1f}  "
            f"{self.brain_start:6.1f} {self.brain:6.1f} {self.brain / self.brain_start:6.2f} {self.uniform:6.1f} "
            f"{self.resolvable:5.1f}  {self.bone_start:6.0f} {self.bone:6.0f}  "
            f"{self.contrast:6.1f} {self.true_contrast:6.1f} {self.mirrored:6.1f}  {self.seconds:5.0f}"
        )


HEADING = (
    "seed bleed skull  off %   brain start/end/ratio/uniform/resolvable     bone start/end   contrast/true/mirrored  "
    "processor s"
)


def scan_of(head: Phantom, n_elements: int, band: tuple[float, float], store: Path, seed: int) -> Acquisition:
    """What a ring records of a head, by the time-domain engine at 30 dB; what `store` holds already is kept."""
    array = TransducerArray.ring(n_elements, RADIUS)
    settings = TraceSettings(band, 30.0, seed)
    return simulate_traces(head, array, settings, store, resume=store.exists())


def wrong_of(seed: int) -> float:
    """Relative error of a wrong skull: odd seeds' are too fast, even ones' too slow."""
    size = float(np.random.default_rng([seed, 9]).uniform(*WRONG))
    return size if seed % 2 else -size


def uneven(head: Phantom, wrong: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Relative errors of speed, density and attenuation of a skull that is wrong in a way of its own at every place.

    Their means are `wrong`, half and four times that; round the head, those of speed and density vary by 4 and 2 % rms.
    """
    random = np.random.default_rng([int(head.provenance["seed"]), 10])
    y, x = head.medium.grid.points().unbind(dim=-1)
    angle = torch.atan2(y, x)
    waves = (
        float(random.normal()) * torch.cos(k * angle + float(random.uniform(0, 2 * np.pi)))
        for k in range(1, 9)
    )
    wave = torch.stack(list(waves)).sum(dim=0)
    wave = 0.04 * wave / wave.square().mean().sqrt()
    return wrong + wave, 0.5 * (wrong + wave), torch.full_like(wave, 4 * wrong)


def start_of(head: Phantom, *wrong: float | torch.Tensor) -> Medium:
    """The head with water for its brain, and bone that is off by a share, or by one each for its three properties.

    Nothing of the brain is known: its density and attenuation are one number each, those of white matter.
    """
    medium, brain, bone = head.medium, parts(head)[0], parts(head)[1]
    white = load_tissues("itrusst").tissues["white"]
    water, (speed, density, loss) = float(medium.sound_speed[0, 0]), wrong * 3 if len(wrong) == 1 else wrong
    assert medium.density is not None and medium.attenuation is not None

    def known(truth: torch.Tensor, error: float | torch.Tensor, inside: float) -> torch.Tensor:
        return torch.where(brain, inside, torch.where(bone, truth * (1.0 + error), truth))

    return dataclasses.replace(
        medium,
        sound_speed=known(medium.sound_speed, speed, water),
        density=known(medium.density, density, white.density.mean),
        attenuation=known(medium.attenuation, loss, white.attenuation.mean),
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


def inner(head: Phantom) -> torch.Tensor:
    """Map of the brain but for its rim."""
    return torch.from_numpy(distance_transform_edt(parts(head)[0].numpy()) * head.medium.grid.spacing > RIM)


def reconstruct(
    head: Phantom,
    place: torch.Tensor,
    scan: Acquisition,
    skull: str,
    settings: Sequence[str],
    begun: Medium | None = None,
) -> Row:
    """Reconstruct a head and score it, its contrast at a place, boolean of the head's grid.

    What is `begun` is the start in place of water.
    """
    began, seed = time.process_time(), int(head.provenance["seed"])
    wrong = wrong_of(seed) if skull in ("wrong", "uneven") else 0.0
    errors = uneven(head, wrong) if skull == "uneven" else (wrong,)
    start = begun if skull == "water" else start_of(head, *errors)
    config = load_config("transcranial", None, settings)
    result = api.reconstruct(dataclasses.replace(scan, truth=None, start=start), config)
    if result.status is not Status.FINISHED:
        raise SystemExit(f"head {seed}, skull {skull}: {result.message}")
    truth, grid = head.medium.sound_speed, head.medium.grid
    given = result.start if start is None else start.resampled(result.medium.grid)
    images = [resample(medium.sound_speed, medium.grid, grid) for medium in (given, result.medium)]
    brain, bone, lesion = parts(head)
    beyond = inner(head)

    def error(image: torch.Tensor, where: torch.Tensor) -> float:
        return float((image - truth)[where].square().mean().sqrt())

    def contrast(image: torch.Tensor, place: torch.Tensor) -> float:
        offset = grid.points()[place].mean(dim=0) - grid.points()
        near = brain & ~place & (torch.linalg.vector_norm(offset, dim=-1) < NEAR)
        return float(image[place].mean() - image[near].mean())

    mirrored = place.flip(1) & brain & ~place
    shortest = truth[brain].mean() / max(record.frequency for record in result.history)
    only_brain = torch.where(brain, truth, truth[brain].mean())
    resolved = low_pass(only_brain, grid.spacing, float(config.schedule.cutoff * 4 * torch.pi / shortest))
    return Row(
        seed, bool(lesion.any()), skull, wrong,
        error(images[0], beyond), error(images[1], beyond), float(truth[beyond].std()),
        error(resolved, beyond),
        error(images[0], bone), error(images[1], bone),
        contrast(images[1], place), contrast(truth, place), contrast(images[1], mirrored),
        time.process_time() - began,
    )  # fmt: skip


def subjects(seeds: Sequence[int]) -> Iterator[tuple[Phantom, torch.Tensor]]:
    """Heads with a haemorrhage and the same without, each with the haemorrhage's place; those of other sizes not."""
    for seed in seeds:
        with_it = phantom.make("head_haemorrhage", seed=seed, spacing=0.5e-3)
        place = parts(with_it)[2]
        diameter = 2 * with_it.medium.grid.spacing * float(place.sum() / torch.pi) ** 0.5
        if DIAMETERS[0] <= diameter <= DIAMETERS[1]:
            say(f"head {seed}: a haemorrhage of {1e3 * diameter:.0f} mm")
            yield with_it, place
            yield phantom.make("head", seed=seed, spacing=0.5e-3), place
        else:
            say(f"head {seed}: left out, its haemorrhage has {1e3 * diameter:.0f} mm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="Folder of scans and rows, kept from run to run.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9, 10, 11, 12, 14, 15, 16, 19])
    parser.add_argument("--skulls", nargs="+", default=["true", "wrong", "uneven", "water"])
    parser.add_argument("--elements", type=int, default=128)
    parser.add_argument("--band-khz", type=float, nargs=2, default=[50.0, 150.0])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-bleeding", action="store_true", help="Leave out heads without a haemorrhage.")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    band = (1e3 * options.band_khz[0], 1e3 * options.band_khz[1])
    setting = f"{options.elements} elements, {band[0]:g} to {band[1]:g} Hz"
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        say(HEADING)
        rows: list[Row] = []
        for head, place in subjects(options.seeds):
            bleeds = bool(parts(head)[2].any())
            if options.only_bleeding and not bleeds:
                continue
            seed = int(head.provenance["seed"])
            store = out / f"{seed}-{'with' if bleeds else 'without'}-{setting.replace(' ', '-')}.rows"
            for skull in options.skulls:
                key = json.dumps([seed, bleeds, skull, setting, options.set])
                row = remembered(out / "rows.jsonl", key)
                if row is None:
                    scan = scan_of(head, options.elements, band, store, seed)
                    row = reconstruct(head, place, scan, skull, options.set)
                    remember(out / "rows.jsonl", key, row)
                rows.append(row)
                say(str(row))
    for skull in options.skulls:
        say(summary(skull, [row for row in rows if row.skull == skull]))
    return 0


def remembered(file: Path, key: str) -> Row | None:
    """What a run came to, if a file of rows has it."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        entry = json.loads(line)
        if entry["key"] == key:
            return Row(**entry["row"])
    return None


def remember(file: Path, key: str, row: Row) -> None:
    """Append what a run came to."""
    with file.open("a", encoding="utf-8") as sink:
        sink.write(json.dumps({"key": key, "row": dataclasses.asdict(row)}) + "\n")


def summary(skull: str, rows: Sequence[Row]) -> str:
    """Brain error over the start's and over the best uniform brain's, the skull's, contrast and detection."""
    bleeding = [row for row in rows if row.bleeds]

    def of(values: Sequence[float]) -> str:
        return f"{bootstrap(np.array(values)).text()}, {min(values):.2f} to {max(values):.2f}"

    text = (
        f"{skull}, {len(rows)} runs, medians (95 % interval), lowest to highest: brain error over the start's "
        f"{of([row.brain / row.brain_start for row in rows])}; over the best uniform brain's "
        f"{of([row.brain / row.uniform for row in rows])}; skull's error over the start's "
        f"{of([row.bone / row.bone_start for row in rows])}; contrast recovered "
        f"{of([row.contrast / row.true_contrast for row in bleeding])}"
    )
    if len(bleeding) in (0, len(rows)):
        return text
    seen = np.array([row.contrast - row.mirrored for row in rows])
    present, heads = np.array([row.bleeds for row in rows]), np.array([row.seed for row in rows])
    return f"{text}; AUC {clustered_auc(seen, present, heads).text()}"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
