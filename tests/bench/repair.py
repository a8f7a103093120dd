"""What faults of a ring cost an image, and what check and calibrate win back: `python -m tests.bench.repair`.

A cylinder in water, exact traces, 48 elements. The same inversion for a clean ring, one with planted faults, and the
latter masked, or put right by a water shot. Sound-speed error inside the cylinder and around it.
"""

import sys

import torch

from tests.unit import planted
from usct import api
from usct.acquisition import Acquisition
from usct.calibration.checking import check
from usct.calibration.quality import mend
from usct.calibration.water import calibrate
from usct.config import load_config
from usct.grid import Grid

SETTINGS = (
    "schedule.frequencies_mhz=[0.2, 0.3]",
    "schedule.iterations=3",
    "schedule.inner_iterations=5",
    "misfit.mute_angle_deg=35",
    "start.disc=false",
    "device=cpu",
)


def image_error(scan: Acquisition) -> float:
    """Root mean square error of the sound speed within 1.5 radii of the cylinder [m/s]."""
    result = api.reconstruct(scan, load_config(None, None, list(SETTINGS)))
    grid: Grid = result.medium.grid
    inside = grid.disc(planted.CYLINDER_RADIUS, (0.0, 0.0))
    truth = torch.where(inside, planted.CYLINDER_SPEED, planted.WATER)
    near = grid.disc(1.5 * planted.CYLINDER_RADIUS, (0.0, 0.0))
    return float((result.medium.sound_speed - truth)[near].square().mean().sqrt())


def scans(seed: int) -> dict[str, Acquisition]:
    """A clean scan, the same with planted faults, the latter masked, and calibrated by a water shot of 25 degrees."""
    faults = planted.many_faults(seed)
    faulty = planted.record(faults, with_cylinder=True, seed=2 * seed, stale=True)
    water = planted.record(faults, with_cylinder=False, seed=2 * seed + 1, stale=True)
    return {
        "clean": planted.record(planted.no_faults(), with_cylinder=True, seed=2 * seed),
        "faulty": faulty,
        "masked": mend(faulty, check(faulty)),
        "calibrated": calibrate(faulty, water, temperature=25.0).scan,
    }


def main() -> None:
    """Print the errors for some seeds."""
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
        found = {name: image_error(scan) for name, scan in scans(seed).items()}
        print(f"seed {seed}: " + ", ".join(f"{name} {error:.2f} m/s" for name, error in found.items()))  # noqa: T201


if __name__ == "__main__":
    main()
