"""Attenuation from traces of another solver: `python -m tests.bench.attenuation [--seeds 1 2] [--snr-db 40]`.

Lossy time stepping (`usct simulate --engine time`) of a disc of 52 mm and 1 dB/(cm MHz) with lesions of 10 mm: one
differs in sound speed, one in attenuation, one in both. 64 elements, 0.15 to 0.4 MHz, unknown pulses. The inversion is
the Helmholtz solver's, with the settings of the command line. Means over the lesions, sound-speed errors with and
without attenuation, and the crosstalk: the correlation of attenuation errors with the sound speed.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from usct import api
from usct.acquisition import Acquisition, TransducerArray
from usct.config import load_config
from usct.evaluation import evaluate
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.simulating import TraceSettings, simulate_traces
from usct.units import attenuation_from_db, attenuation_to_db

FREQUENCIES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
LESIONS = {
    "both": ((0.0, 13e-3), 1540.0, 3.0),
    "speed": ((-12e-3, -8e-3), 1540.0, 1.0),
    "loss": ((12e-3, -8e-3), 1500.0, 3.0),
}
"""Place [m], sound speed [m/s], attenuation at 1 MHz [dB/cm]."""
LARGEST_ERROR = 0.2


def phantom() -> Phantom:
    """The disc and its lesions."""
    grid = Grid.covering(45e-3, 0.4e-3)
    body = grid.disc(26e-3)
    speed, loss = torch.where(body, 1500.0, 1480.0).double(), torch.where(body, 1.0, 0.0).double()
    for place, own_speed, own_loss in LESIONS.values():
        inside = grid.disc(5e-3, place)
        speed[inside], loss[inside] = own_speed, own_loss
    medium = Medium(grid, speed, attenuation_from_db(1.0) * loss)
    return Phantom(medium, body.to(torch.int16), ("water", "tissue"))


def scan_of(seed: int, snr_db: float, folder: Path) -> Acquisition:
    """Its traces."""
    settings = TraceSettings((0.1e6, 0.5e6), snr_db=snr_db, seed=seed)
    return simulate_traces(phantom(), TransducerArray.ring(64, 40e-3), settings, folder / "rows.h5")


def measure(scan: Acquisition) -> dict[str, float]:
    """Attenuation found in the lesions and the tissue [dB/cm at 1 MHz], and scores, with and without attenuation."""
    truth = scan.truth
    assert truth is not None
    found: dict[str, float] = {}
    for invert in (False, True):
        settings = [
            f"schedule.frequencies_mhz={list(FREQUENCIES)}",
            f"attenuation.invert={str(invert).lower()}",
        ]
        result = api.reconstruct(replace(scan, truth=None), load_config(None, None, settings))
        scores = evaluate(result.medium, truth, highest_frequency=1e6 * FREQUENCIES[-1])
        found["speed error with" if invert else "speed error without"] = scores.rmse
    assert result.medium.attenuation is not None
    loss = attenuation_to_db(1.0) * result.medium.resampled(truth.grid).attenuation
    tissue = truth.grid.disc(22e-3)
    for name, (place, *_) in LESIONS.items():
        found[name] = float(loss[truth.grid.disc(4e-3, place)].mean())
        tissue &= ~truth.grid.disc(8e-3, place)
    return found | {"tissue": float(loss[tissue].mean()), "crosstalk": scores.crosstalk}


def main() -> int:
    """Print a row for each seed; exit code 1 if a lesion is off by more than a fifth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--snr-db", type=float, default=40.0)
    options = parser.parse_args()
    good = True
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(scan_of(seed, options.snr_db, Path(folder)))
        row = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        sys.stdout.write(f"seed {seed}, {options.snr_db:g} dB: {row}\n")
        sys.stdout.flush()
        good &= all(abs(found[name] / loss - 1) < LARGEST_ERROR for name, (*_, loss) in LESIONS.items())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
