"""Steps that are shortened until they help."""

import math
from collections.abc import Callable

import torch

from usct.forward.helmholtz import ResonanceError
from usct.inversion.objective import Objective, Point

MAX_HALVINGS = 3


class NotFiniteError(ArithmeticError):
    """An objective, gradient or step is infinite or undefined; the loop ends the run with the last good image."""


def stepped(
    objective: Objective, stage: str, step: torch.Tensor, go: Callable[[float], None], enough: float
) -> Point | None:
    """The point after a step, or after half of it and so on until the objective is low enough; None if it never is.

    Args:
        objective: Evaluated where its parameterization stands.
        stage: Its name, for messages.
        step: In whatever unknowns.
        go: Moves the parameterization by a share of the step from where it began.
        enough: Value that the objective may have at most.

    Raises:
        NotFiniteError: If the step is not finite, or the objective is not however short the step.
    """
    if not torch.isfinite(step).all():
        raise NotFiniteError(f"It was met in the search for a step at {stage}.")
    usable = True
    for halving in range(min(MAX_HALVINGS + 1, objective.n_left)):
        go(0.5**halving)
        try:
            trial = objective.at(objective.parameterization.vector())
        except ResonanceError:
            usable = False
            continue
        usable = is_finite(trial)
        if usable and trial.value <= enough:
            return trial
    if not usable:
        raise NotFiniteError(f"It was met at every length of a step at {stage}.")
    return None


def is_finite(point: Point) -> bool:
    """Whether value and gradient are."""
    return math.isfinite(point.value) and bool(torch.isfinite(point.gradient).all())
