"""Heads whose skull is unknown: `python -m tests.bench.unknown_skull --out heads/ [--seeds 9 10 11]`.

What `python -m tests.bench.heads` does, from water alone, by several ways past a skull of which nothing is known,
and with the true skull for comparison. Prints a row for each run, and writes chart.png to `--out`: the brain's error
over that of the best uniform brain, and whether the haemorrhage shows, which is when its contrast beside that of its
mirrored place is at least half of the true one's.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch

from tests.bench import heads
from usct.errors import InputError

EVENLY = "schedule.frequencies_mhz=[0.05,0.075,0.1,0.125,0.15]"
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
}
BAND = 25e3, 150e3


def shows(row: heads.Row) -> bool:
    """Whether a haemorrhage can be told from its mirrored place."""
    return row.contrast - row.mirrored >= 0.5 * row.true_contrast


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Folder of scans, rows and chart.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9, 10, 11])
    parser.add_argument("--elements", type=int, default=128)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[heads.Row]] = {name: [] for name in METHODS}
    heads.say(heads.HEADING)
    for head, place in heads.subjects(options.seeds):
        if not bool(heads.parts(head)[2].any()):
            continue
        seed = int(head.provenance["seed"])
        store = options.out / f"{seed}-{options.elements}-elements.rows"
        for name, (skull, settings) in METHODS.items():
            key = json.dumps([seed, name, options.elements, BAND])
            row = heads.remembered(options.out / "rows.jsonl", key)
            if row is None:
                scan = heads.scan_of(head, options.elements, BAND, store, seed)
                try:
                    row = heads.reconstruct(head, place, scan, skull, settings)
                except InputError as error:
                    heads.say(f"{seed:4d}  {name}: {error}")
                    continue
                heads.remember(options.out / "rows.jsonl", key, row)
            rows[name].append(row)
            heads.say(f"{row}  {name}{', shows' if shows(row) else ''}")
    draw(rows, options.out / "chart.png")
    return 0


def draw(rows: dict[str, list[heads.Row]], path: Path) -> None:
    """Chart of brain errors over the best uniform brain's; a cross where the haemorrhage does not show."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 0.4 * len(rows) + 1.4), layout="constrained")
    for number, own in enumerate(rows.values()):
        for seen, marker, label in ((True, "o", "haemorrhage shows"), (False, "x", "does not show")):
            ratios = [row.brain / row.uniform for row in own if shows(row) is seen]
            axes.plot(ratios, np.full(len(ratios), -number), marker, color="tab:blue", label=label)
    axes.axvline(1.0, color="0.5", linewidth=1)
    axes.set_yticks([-number for number in range(len(rows))], list(rows))
    axes.set_xlabel("brain error over that of the best uniform brain")
    axes.set_xlim(left=0)
    axes.legend(*(part[:2] for part in axes.get_legend_handles_labels()), loc="upper right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
