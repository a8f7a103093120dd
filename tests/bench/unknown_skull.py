"""Heads whose skull is unknown: `python -m tests.bench.unknown_skull --out heads/ [--seeds 9 10 11] [--bone 1 0.5]`.

What `python -m tests.bench.heads` does, from water alone, by several ways past a skull of which nothing is known,
and with the true skull for comparison. With `--bone` less than 1 the skull is a softer one: what its speed and density
exceed water by is that share of an adult's. Prints a row for each run, and writes chart.png to `--out`: the brain's
error over that of the best uniform brain, and whether the haemorrhage shows, which is when its contrast beside that of
its mirrored place is at least half of the true one's.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch

from tests.bench import heads
from usct import api
from usct.acquisition import Acquisition
from usct.config import load_config
from usct.errors import InputError
from usct.medium import Medium
from usct.phantom import Phantom
from usct.starting.skull.fitting import scaled_bone

EVENLY = "schedule.frequencies_mhz=[0.05,0.075,0.1,0.125,0.15]"
FORGOTTEN = [f"tissues.{name}.sound_speed=none" for name in ("bone", "inside", "outside")]
FORGOTTEN += ["tissues.bone.deviation=none", "tissues.bone.correlation_mm=none"]
METHODS = {
    "true skull": ("true", []),
    "least squares from 50 kHz": ("water", []),
    "least squares from 25 kHz": (
        "water",
        ["schedule.frequencies_mhz=[0.025,0.035,0.05,0.065,0.085,0.11,0.15]"],
    ),
    "travel times first": ("water", ["start.travel_times=true"]),
    "phase": ("water", ["misfit.name=phase"]),
    "envelope first": ("water", [EVENLY, "misfit.name=envelope,least-squares"]),
    "transport first": ("water", [EVENLY, "misfit.name=transport,least-squares"]),
    "adaptive first": ("water", [EVENLY, "misfit.name=adaptive,least-squares"]),
    "difference first": ("water", [EVENLY, "misfit.name=difference,least-squares"]),
    "reflections first": ("water", ["start.fit_bone=false", "start.bone_freedom=1.0", *FORGOTTEN]),
}
FIRST = {"reflections first": ["misfit.widest_angle_deg=90"]}
"""Settings of a run before, whose image another one starts from."""
BAND = 25e3, 150e3


def shows(row: heads.Row) -> bool:
    """Whether a haemorrhage can be told from its mirrored place."""
    return row.contrast - row.mirrored >= 0.5 * row.true_contrast


Rows = dict[str, list[heads.Row]]
"""Of each way, one for each head."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Folder of scans, rows and chart.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9, 10, 11])
    parser.add_argument("--elements", type=int, default=128)
    parser.add_argument("--bone", type=float, nargs="+", default=[1.0], help="Shares of an adult's bone.")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: dict[float, Rows] = {share: {name: [] for name in METHODS} for share in options.bone}
    heads.say(heads.HEADING)
    for head, place in heads.subjects(options.seeds):
        if bool(heads.parts(head)[2].any()):
            for share in options.bone:
                for name, row in tried(softened(head, share), place, share, options.elements, options.out):
                    rows[share][name].append(row)
    draw(rows, options.out / "chart.png")
    return 0


def softened(head: Phantom, share: float) -> Phantom:
    """A head whose bone exceeds water, in speed and density, by a share of what it did."""
    bone, water = heads.parts(head)[1], float(head.medium.sound_speed[0, 0])
    return replace(head, medium=scaled_bone(head.medium, bone, share, water))


def tried(
    head: Phantom, place: torch.Tensor, share: float, n_elements: int, out: Path
) -> Iterator[tuple[str, heads.Row]]:
    """What each way makes of a head, where it makes anything."""
    seed, bone = int(head.provenance["seed"]), [] if share == 1 else [share]
    store = out / f"{'-'.join(map(str, (seed, n_elements, 'elements', *bone)))}.rows"
    for name, (skull, settings) in METHODS.items():
        key = json.dumps([seed, name, n_elements, BAND, *bone])
        row = heads.remembered(out / "rows.jsonl", key)
        if row is None:
            scan = heads.scan_of(head, n_elements, BAND, store, seed)
            try:
                begun = None if name not in FIRST else image(scan, FIRST[name])
                row = heads.reconstruct(head, place, scan, skull, settings, begun)
            except InputError as error:
                heads.say(f"{seed:4d}  {name}, bone {share:g}: {error}")
                continue
            heads.remember(out / "rows.jsonl", key, row)
        heads.say(f"{row}  {name}, bone {share:g}{', shows' if shows(row) else ''}")
        yield name, row


def image(scan: Acquisition, settings: Sequence[str]) -> Medium:
    """The image of a scan from water alone."""
    config = load_config("transcranial", None, settings)
    return api.reconstruct(replace(scan, truth=None, start=None), config).medium


def draw(rows: Mapping[float, Rows], path: Path) -> None:
    """Chart of brain errors over the best uniform brain's; a cross where the haemorrhage does not show."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(next(iter(rows.values())))
    size = 3.4 + 3.6 * len(rows), 0.4 * len(names) + 1.4
    figure, panels = plt.subplots(
        1, len(rows), figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for axes, (share, ways) in zip(panels[0], rows.items(), strict=True):
        for number, own in enumerate(ways.values()):
            for seen, marker, label in ((True, "o", "haemorrhage shows"), (False, "x", "does not show")):
                ratios = [row.brain / row.uniform for row in own if shows(row) is seen]
                axes.plot(ratios, np.full(len(ratios), -number), marker, color="tab:blue", label=label)
        axes.axvline(1.0, color="0.5", linewidth=1)
        axes.set_title("an adult's bone" if share == 1 else f"{share:g} of an adult's bone")
        axes.set_xlabel("brain error over the best uniform brain's")
        axes.set_xlim(left=0)
    panels[0, 0].set_yticks([-number for number in range(len(names))], names)
    panels[0, -1].legend(*(part[:2] for part in panels[0, -1].get_legend_handles_labels()), loc="upper right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
