"""The start model that came with a scan: its bone, and what is known of it beside sound speed."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.functional import max_pool2d

from usct.acquisition import Acquisition, Spectra
from usct.config import RunConfig
from usct.errors import InputError
from usct.grid import resample
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.spectrum import TissuePrior
from usct.settings import Tissue, Tissues
from usct.starting.skull.fitting import best_factor, scaled_bone
from usct.starting.skull.model import enclosed

BONE_SPEED = 1750.0
"""Faster than any soft tissue [m/s]: what a start model has above it is taken to be bone."""
FAINT = 1e-3
"""Share of a cell below which a tissue is not in it."""
BORDER = 2
"""Cells next to those of another tissue that may hold some of it, on whichever grid they are seen."""
N_FITTING = 2
"""Updates of the brain at each factor of bone that is tried."""

Run = Callable[[Acquisition, RunConfig, Spectra], float]


def shares_of(given: Medium, start: Medium) -> dict[str, torch.Tensor]:
    """Share of every cell of an image that each tissue fills, by the start model where it is finest.

    Args:
        given: The start model as it came.
        start: The same on the grid of the image.

    Returns:
        Each of the image's shape, adding up to one: bone, what it encloses inside, and the rest outside, as far as
        there are such.
    """
    is_bone = given.sound_speed > BONE_SPEED
    is_inside = torch.from_numpy(enclosed(is_bone.numpy(), given.grid.spacing, whole=False)) & ~is_bone
    bone, inside = (
        resample(cells.double(), given.grid, start.grid).clamp(0, 1) for cells in (is_bone, is_inside)
    )
    bone = torch.maximum(bone, (start.sound_speed > BONE_SPEED).double())
    inside = torch.minimum(inside, 1 - bone)
    shares = {"bone": bone, "inside": inside, "outside": 1 - bone - inside}
    return {name: share for name, share in shares.items() if bool(share.any())}


def inform(
    parameterization: Parameterization,
    acquisition: Acquisition,
    config: RunConfig,
    start: Medium,
    water: float,
) -> None:
    """Tell a parameterization what settings and start model know of tissues: freedoms, bounds and priors.

    Args:
        parameterization: Standing at the start, changed in place.
        acquisition: With the start model, if there is one.
        config: Settings.
        start: What the run starts from, on the grid of the image.
        water: Sound speed of the water [m/s].

    Raises:
        InputError: If a tissue's bounds do not hold its start, or the water.
    """
    shares = shares_of(given_start(acquisition, config) or start, start)
    if "bone" not in shares:
        return
    tissues = {name: getattr(config.tissues, name) for name in shares}
    low, high = config.tissues.outside.sound_speed or config.bounds.sound_speed
    if not low - 0.5 <= water <= high + 0.5:
        raise InputError(
            f"tissues.outside.sound_speed = {low:g} to {high:g} m/s does not hold the water, {water:.0f} m/s; widen it"
        )
    limits = _limits_of(shares, tissues, config.bounds.sound_speed, start)
    if limits is not None:
        parameterization.bound(limits)
    freedom = {name: config.start.bone_freedom if name == "bone" else 1.0 for name in shares}
    parameterization.hold(torch.stack([freedom[name] * share for name, share in shares.items()]))
    parameterization.expect([_prior_of(tissues[name], start, share, water) for name, share in shares.items()])


def _limits_of(
    shares: dict[str, torch.Tensor], tissues: dict[str, Tissue], widest: tuple[float, float], start: Medium
) -> torch.Tensor | None:
    """Lowest and highest sound speed of every cell, shape (2, ny, nx) [m/s]; None where the widest hold everywhere.

    Near borders, where cells may hold several tissues, whatever one of these may be is possible.

    Raises:
        InputError: If a tissue's bounds do not hold its start.
    """
    if all(tissue.sound_speed is None for tissue in tissues.values()):
        return None
    around = torch.stack(list(shares.values())) > FAINT
    near = max_pool2d(around.double(), 2 * BORDER + 1, stride=1, padding=BORDER) > 0
    low, high = torch.full_like(start.sound_speed, math.inf), torch.zeros_like(start.sound_speed)
    for (name, tissue), there in zip(tissues.items(), near, strict=True):
        least, most = _ends_of(name, tissue, widest, start.sound_speed[there & (near.sum(dim=0) == 1)])
        low = torch.where(there, low.clamp(max=least), low)
        high = torch.where(there, high.clamp(min=most), high)
    return torch.stack([low, high])


def _ends_of(
    name: str, tissue: Tissue, widest: tuple[float, float], speeds: torch.Tensor
) -> tuple[float, float]:
    """Lowest and highest sound speed of a tissue, within those of all; refused if they would change its start."""
    low, high = tissue.sound_speed or widest
    low, high = max(low, widest[0]), min(high, widest[1])
    if not low < high:
        raise InputError(
            f"tissues.{name}.sound_speed lies outside bounds.sound_speed = {widest[0]:g} to {widest[1]:g} m/s; widen "
            "one of them"
        )
    # As for the bounds of all, half a metre per second is left to interpolation.
    if bool(((speeds < low - 0.5) | (speeds > high + 0.5)).any()):
        raise InputError(
            f"tissues.{name}.sound_speed = {low:g} to {high:g} m/s does not hold the start model there, "
            f"{float(speeds.min()):.0f} to {float(speeds.max()):.0f} m/s; widen it or give another start"
        )
    return low, high


def _prior_of(tissue: Tissue, start: Medium, share: torch.Tensor, water: float) -> TissuePrior:
    """What is known of one tissue, in units of its own sound speed."""
    speed = float((share * start.sound_speed).sum() / share.sum())
    if tissue.deviation is None or tissue.correlation_mm is None:
        return TissuePrior(speed / water)
    return TissuePrior(speed / water, tissue.deviation / speed, 1e-3 * tissue.correlation_mm)


def given_start(acquisition: Acquisition, config: RunConfig) -> Medium | None:
    """The start model that came with the data, where it is used."""
    unused = config.start.sound_speed is not None or config.start.travel_times
    return None if unused else acquisition.start


def with_fitted_bone(
    acquisition: Acquisition, config: RunConfig, observed: Spectra, water: float, run: Run
) -> Acquisition:
    """The scan with the bone of its start model scaled to the data of the lowest frequency, if that is asked for.

    At each factor the first stage of the schedule is run: what is wrong with bone is what no brain explains.

    Args:
        acquisition: With a start model.
        config: Settings.
        observed: Data to invert.
        water: Sound speed of the water [m/s].
        run: Makes a run, and tells what it leaves unexplained of its data, as the last record does.

    Raises:
        InputError: If the data are not damped.
    """
    given = given_start(acquisition, config)
    if not config.start.fit_bone or given is None:
        return acquisition
    bone = given.sound_speed > BONE_SPEED
    if not bool(bone.any()):
        return acquisition
    if not observed.damping > 0:
        raise InputError(
            "start.fit_bone = true needs damped data, since late echoes mislead it; set schedule.damping_time_us, or "
            "start.fit_bone to false"
        )
    given = replace(given, speed_frequency=_middle(given, observed))
    lowest = observed.at(observed.frequencies.min()[None])
    schedule = config.schedule.model_copy(update={"iterations": N_FITTING, "max_solves": None})
    start = config.start.model_copy(update={"fit_bone": False})
    low, high = config.bounds.sound_speed
    bounds = config.bounds.model_copy(update={"sound_speed": (low, 1.5 * high)})
    tissues = Tissues()
    trial = config.model_copy(
        update={"schedule": schedule, "start": start, "bounds": bounds, "tissues": tissues}
    )

    def scaled(factor: float) -> Medium:
        return scaled_bone(given, bone, factor, water)

    def misfit(factor: float) -> float:
        return run(replace(acquisition, start=scaled(factor)), trial, lowest)

    best = scaled(best_factor(misfit))
    # Interpolated to the image's grid, edges overshoot by up to a tenth.
    inside = best.sound_speed.clamp(max=max(0.9 * high, float(given.sound_speed.max())))
    if config.tissues.bone.sound_speed is not None:
        least, most = config.tissues.bone.sound_speed
        # Cells at the rim of bone, which hold other tissue too, may have been slower than bone is from the first.
        held = torch.maximum(inside, given.sound_speed.clamp(max=least)).clamp(max=most)
        inside = torch.where(bone, held, inside)
    return replace(acquisition, start=replace(best, sound_speed=inside))


def told_of_tissues(acquisition: Acquisition, config: RunConfig, start: Medium) -> dict[str, str]:
    """Which tissues were told apart, where settings know of any, and what fitting made of bone; for people."""
    if config.tissues == Tissues():
        return told_of_bone(acquisition, config, start)
    shares = shares_of(given_start(acquisition, config) or start, start)
    if "bone" not in shares:
        return {"tissues": f"none told apart: nothing in the start is faster than {BONE_SPEED:g} m/s"}
    return {"tissues": f"told apart: {', '.join(shares)}"} | told_of_bone(acquisition, config, start)


def told_of_bone(acquisition: Acquisition, config: RunConfig, start: Medium) -> dict[str, str]:
    """What fitting made of the bone of a start model, for people; nothing where none was fitted."""
    given = given_start(acquisition, config)
    if not config.start.fit_bone or given is None:
        return {}
    before = given.resampled(start.grid).sound_speed
    bone = before > BONE_SPEED
    if not bool(bone.any()):
        return {}
    means = (float(speed[bone].mean()) for speed in (before, start.sound_speed))
    return {"bone_sound_speed": "{:.0f} m/s in the mean as given, {:.0f} m/s as fitted".format(*means)}


def known_properties(acquisition: Acquisition, config: RunConfig, observed: Spectra) -> Medium | None:
    """Density and attenuation of a start model that came with the data, where it is used.

    Its sound speed is taken to hold in the middle of the band, where the image's will.
    """
    start = given_start(acquisition, config)
    if start is None or (start.density is None and start.attenuation is None):
        return None
    return replace(start, speed_frequency=_middle(start, observed))


def _middle(start: Medium, observed: Spectra) -> float:
    """Where a start model's sound speed holds: where it says, or in the middle of the band [Hz]."""
    ends = float(observed.frequencies.min()), float(observed.frequencies.max())
    return start.speed_frequency or math.sqrt(ends[0] * ends[1])
