"""The start model that came with a scan: its bone, and what is known of it beside sound speed."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from scipy.ndimage import binary_fill_holes

from usct.acquisition import Acquisition, Spectra
from usct.config import RunConfig
from usct.errors import InputError
from usct.grid import resample
from usct.medium import Medium
from usct.starting.skull.fitting import best_factor, scaled_bone

BONE_SPEED = 1750.0
"""Faster than any soft tissue [m/s]: what a start model has above it is taken to be bone."""
N_FITTING = 2
"""Updates of the brain at each factor of bone that is tried."""

Run = Callable[[Acquisition, RunConfig, Spectra], float]


def freedom_of(acquisition: Acquisition, config: RunConfig, start: Medium) -> torch.Tensor:
    """How far each cell of the image may change, by the start model where it is finest.

    Returns:
        Shape of the image; where there is bone that encloses something, with an axis before it for bone, what it
        encloses, and the rest.
    """
    given = given_start(acquisition, config) or start
    is_bone = given.sound_speed > BONE_SPEED
    is_inside = torch.from_numpy(binary_fill_holes(is_bone.numpy())) & ~is_bone
    bone, inside = (
        resample(cells.double(), given.grid, start.grid).clamp(0, 1) for cells in (is_bone, is_inside)
    )
    bone = torch.maximum(bone, (start.sound_speed > BONE_SPEED).double())
    inside = torch.minimum(inside, 1 - bone)
    soft = 1 - bone
    held = config.start.bone_freedom * bone
    if not bool(is_inside.any()):
        return held + soft
    return torch.stack([held, inside, soft - inside])


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
    trial = config.model_copy(update={"schedule": schedule, "start": start, "bounds": bounds})

    def scaled(factor: float) -> Medium:
        return scaled_bone(given, bone, factor, water)

    def misfit(factor: float) -> float:
        return run(replace(acquisition, start=scaled(factor)), trial, lowest)

    best = scaled(best_factor(misfit))
    # Interpolated to the image's grid, edges overshoot by up to a tenth.
    inside = best.sound_speed.clamp(max=max(0.9 * high, float(given.sound_speed.max())))
    return replace(acquisition, start=replace(best, sound_speed=inside))


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
