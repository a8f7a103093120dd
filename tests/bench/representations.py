"""Which representation wins: all of them from the same start with the same budget of PDE solves, on unseen phantoms.

    python -m tests.bench.representations --seeds 31 32 33 34 35 --conditions noisy clean

Data come from another solver than the inversion's (deepwave, time domain; see `deepwave_scan`), on phantoms that
no setting was chosen on. Results go to build/representations.json after every run, so that a study that is broken
off keeps what it has; run again, it goes on. `--table` prints medians and spreads of what is there.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from tests.bench.deepwave_scan import Settings, simulate
from usct import api, io, phantom, signals
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.config import load_config
from usct.evaluation import evaluate
from usct.inversion.skipping import n_solves
from usct.reconstruction import Iterate

FOLDER = Path("build") / "representations"
REPRESENTATIONS = ("pixel", "filtered", "tailored", "fourier", "siren", "multigrid", "hybrid")
SUCCESS = 0.6
"""A run succeeds if its error falls below this share of the start's."""


@dataclass(frozen=True)
class Condition:
    """What the data lack.

    Attributes:
        start: Uniform sound speed [m/s].
        snr_db: Against the rms at each frequency [dB].
        frequencies: [Hz].
        every: One of so many transmits is used.
    """

    start: float = 1480.0
    snr_db: float = 40.0
    frequencies: tuple[float, ...] = (150e3, 200e3)
    every: int = 1


CONDITIONS = {
    "clean": Condition(),
    "noisy": Condition(snr_db=20.0),
    "poor start": Condition(start=1430.0),
    "no low frequencies": Condition(frequencies=(250e3, 300e3)),
    "few transmits": Condition(every=8),
}


def scan_of(seed: int) -> Acquisition:
    """Noise-free traces of a breast phantom in a ring of 128 elements, made once and kept."""
    path = FOLDER / f"scan{seed}.h5"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        made = phantom.make("breast", seed=seed, spacing=0.5e-3)
        settings = Settings(spacing=0.55e-3, snr_db=None, seed=seed, sampling_frequency=2.5e6)
        io.save(simulate(made.medium, TransducerArray.ring(128, 110e-3), settings), path)
    scan = io.load(path)
    assert isinstance(scan, Acquisition)
    return scan


def degraded(scan: Acquisition, condition: Condition, seed: int) -> Acquisition:
    """Spectra of a scan with noise and some of its transmits."""
    spectra = scan.spectra(torch.tensor(condition.frequencies, dtype=torch.float64))
    generator = torch.Generator().manual_seed(seed)
    values = spectra.values + signals.complex_noise(spectra.values, condition.snr_db, generator)
    rows = slice(None, None, condition.every)
    array = replace(scan.array, transmits=scan.array.transmits[rows])
    return replace(scan, array=array, data=Spectra.of(values[:, rows], spectra.frequencies))


def run(seed: int, condition: Condition, name: str, budget: int) -> dict[str, object]:
    """Reconstruct, and score every iterate against the truth, which the inversion does not see."""
    scan = degraded(scan_of(seed), condition, seed)
    assert scan.truth is not None
    representation, _, optimizer = name.partition(":")
    assert isinstance(scan.data, Spectra)
    allowed = budget + n_solves(scan.data)
    settings = [f"parameterization.name={representation}", f"schedule.max_solves={allowed}"]
    settings += [f"start.sound_speed={condition.start}"] + (
        [f"schedule.optimizer={optimizer}"] if optimizer else []
    )
    rows: list[tuple[int, float, float, float]] = []
    scores = []

    def note(iterate: Iterate) -> None:
        scores.append(evaluate(iterate.medium, scan.truth, highest_frequency=condition.frequencies[-1]))
        record = iterate.record
        rows.append((record.n_solves, record.seconds, record.objective, scores[-1].rmse))

    result = api.reconstruct(replace(scan, truth=None), load_config(None, None, settings), note)
    columns = [list(column) for column in zip(*rows, strict=True)]
    start = evaluate(result.start, scan.truth).rmse
    return dict(zip(("solves", "seconds", "residual", "rmse"), columns, strict=True)) | {
        "start_rmse": start,
        "rmse_resolved": scores[-1].rmse_resolved,
        "ssim": scores[-1].ssim,
        "status": result.status.name,
    }


def table(results: dict[str, dict[str, object]]) -> str:
    """Median and range over the phantoms of the final error, and how many runs succeeded."""
    lines = [
        f"{'condition':20s} {'representation':15s} {'n':>2s} {'RMSE [m/s]':>22s} "
        f"{'resolvable':>10s} {'SSIM':>6s} {'success':>7s}"
    ]
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    for key, result in results.items():
        condition, name, _ = key.split("|")
        groups.setdefault((condition, name), []).append(result)
    for (condition, name), group in groups.items():
        final = np.array([r["rmse"][-1] for r in group])  # type: ignore[index]
        start = np.array([r["start_rmse"] for r in group], dtype=float)
        resolved, ssim = (float(np.median([r[k] for r in group])) for k in ("rmse_resolved", "ssim"))  # type: ignore[misc]
        spread = f"{np.median(final):6.2f} ({final.min():5.2f} .. {final.max():5.2f})"
        share = f"{int((final < SUCCESS * start).sum())}/{len(group)}"
        lines.append(
            f"{condition:20s} {name:15s} {len(group):2d} {spread:>22s} {resolved:10.2f} {ssim:6.3f} {share:>7s}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing of a study, and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32, 33, 34, 35])
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument(
        "--representations", nargs="+", default=list(REPRESENTATIONS), metavar="NAME[:OPTIMIZER]"
    )
    parser.add_argument("--budget", type=int, default=12, help="factorisations for updates")
    parser.add_argument("--table", action="store_true", help="print what is there and run nothing")
    options = parser.parse_args(arguments)
    path = FOLDER / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    wanted = [(s, c, r) for c in options.conditions for s in options.seeds for r in options.representations]
    for seed, condition, name in [] if options.table else wanted:
        key = f"{condition}|{name}|{seed}"
        if key not in results:
            results[key] = run(seed, CONDITIONS[condition], name, options.budget)
            path.write_text(json.dumps(results))
            final = results[key]["rmse"][-1]
            sys.stderr.write(f"{key}: {results[key]['start_rmse']:.1f} -> {final:.2f} m/s\n")
            assert math.isfinite(final)
    sys.stdout.write(table(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
