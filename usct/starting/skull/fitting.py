"""How much bone there is in the skull of a start model: one factor, told by the data."""

from collections.abc import Callable
from dataclasses import replace

import torch

from usct.medium import Medium

STEP = 0.15
"""Of factors that are tried; what bone exceeds water by being off by so much, its speed is off by 6 %."""
FARTHEST = 3
"""Steps from 1 at most."""


def scaled_bone(model: Medium, bone: torch.Tensor, factor: float, water: float) -> Medium:
    """The model with what its bone exceeds water by, in sound speed and density, times a factor.

    Published mappings of Hounsfield units are mixtures of bone and water, or nearly so; where they err, it is above all
    by the share of bone. Attenuation stays.

    Args:
        model: With a skull.
        bone: Cells of bone, boolean, shape of the model.
        factor: 1 for the model itself.
        water: Sound speed of the water [m/s]; its density is taken to be the lowest of the model.
    """
    speed = torch.where(bone, water + factor * (model.sound_speed - water), model.sound_speed)
    density = model.density
    if density is not None:
        lightest = density.min()
        density = torch.where(bone, lightest + factor * (density - lightest), density)
    return replace(model, sound_speed=speed, density=density)


def best_factor(misfit: Callable[[float], float]) -> float:
    """The factor at which a misfit is least: downhill from 1 in steps, and the parabola through the last three.

    Far from 1, where bone hardly lets waves through, misfits may fall again; those minima are not looked for.

    Args:
        misfit: At a factor; it is asked for three to five factors.

    Returns:
        The factor; the farthest one if the misfit falls all the way.
    """
    known = {number: misfit(1 + STEP * number) for number in (-1, 0, 1)}
    best = 0
    while (lower := min((best - 1, best + 1), key=lambda n: known[n])) and known[lower] < known[best]:
        best = lower
        if abs(best) == FARTHEST:
            return 1 + STEP * best
        known |= {n: misfit(1 + STEP * n) for n in (best - 1, best + 1) if n not in known}
    left, middle, right = (known[best + n] for n in (-1, 0, 1))
    bend = left - 2 * middle + right
    return 1 + STEP * (best + (0.5 * (left - right) / bend if bend > 0 else 0.0))
