"""Optimizers: each turns a point of the objective into a step, by exact products with the linearised model.

No optimizer searches along lines with further solves: the curvature along a direction is a product over fields
that are at hand, so the step to the minimum of the quadratic model costs next to nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch

from usct.inversion.objective import Point
from usct.inversion.schedule import Stage

SMALL_REST = 1e-3
"""A Gauss-Newton system counts as solved when this share of its right-hand side is left."""

Preconditioner = Callable[[torch.Tensor], torch.Tensor]


class Optimizer(ABC):
    """Finds steps; what it remembers between steps can be saved and restored exactly.

    Attributes:
        monotone: Whether a step that raises the objective is to be shortened.
    """

    monotone = True

    @abstractmethod
    def step(self, point: Point, precondition: Preconditioner) -> torch.Tensor:
        """Step from a point, shape (parameter,)."""

    @abstractmethod
    def memory(self) -> dict[str, torch.Tensor]:
        """Everything remembered, by name."""

    @abstractmethod
    def restore(self, memory: Mapping[str, torch.Tensor]) -> None:
        """Take up what `memory` returned."""

    def forget(self) -> None:
        """Start afresh, after a step that did not help."""
        self.restore({})


class GaussNewton(Optimizer):
    """Gauss-Newton steps by a few preconditioned conjugate-gradient iterations, which also regularise.

    In the parameters of a network this is the natural gradient of a Gaussian likelihood.

    References:
        Steihaug, SIAM J. Numer. Anal. 20 (1983) 626; Metivier et al., SIAM J. Sci. Comput. 35 (2013) B401.
    """

    def __init__(self, n_inner: int) -> None:
        self.n_inner = n_inner

    def step(self, point: Point, precondition: Preconditioner) -> torch.Tensor:
        """Solve (H + damping) x = -g approximately."""
        x = torch.zeros_like(point.gradient)
        rest = -point.gradient
        shaped = precondition(rest)
        direction, power = shaped, torch.dot(rest, shaped)
        enough = SMALL_REST**2 * float(power)
        for _ in range(self.n_inner):
            if not float(power) > enough:
                break
            product = point.curvature(direction) + point.damping * direction
            bend = torch.dot(direction, product)
            if float(bend) <= 0:  # an undefined one goes on, for the loop to notice
                break
            length = power / bend
            x = x + length * direction
            rest = rest - length * product
            shaped = precondition(rest)
            power, before = torch.dot(rest, shaped), power
            direction = shaped + (power / before) * direction
        return x

    def memory(self) -> dict[str, torch.Tensor]:
        """Nothing is remembered."""
        return {}

    def restore(self, memory: Mapping[str, torch.Tensor]) -> None:
        """Nothing to take up."""


class ConjugateGradients(Optimizer):
    """Nonlinear conjugate gradients, Polak-Ribiere kept between 0 and Fletcher-Reeves, with the linearised step.

    References:
        Gilbert & Nocedal, SIAM J. Optim. 2 (1992) 21.
    """

    def __init__(self) -> None:
        self._memory: dict[str, torch.Tensor] = {}

    def step(self, point: Point, precondition: Preconditioner) -> torch.Tensor:
        """Step along the conjugate direction to the minimum of the quadratic model."""
        gradient, shaped = point.gradient, precondition(point.gradient)
        direction = -shaped
        if self._memory:
            before, direction_before = self._memory["gradient"], self._memory["direction"]
            power_before = self._memory["power"]
            polak_ribiere = torch.dot(shaped, gradient - before) / power_before
            fletcher_reeves = torch.dot(shaped, gradient) / power_before
            conjugate = direction + polak_ribiere.clamp(0, float(fletcher_reeves)) * direction_before
            direction = conjugate if torch.dot(conjugate, gradient) < 0 else direction
        self._memory = {"gradient": gradient, "direction": direction, "power": torch.dot(shaped, gradient)}
        return _to_minimum(point, direction)

    def memory(self) -> dict[str, torch.Tensor]:
        """Last gradient, direction and its scale."""
        return dict(self._memory)

    def restore(self, memory: Mapping[str, torch.Tensor]) -> None:
        """Take them up."""
        self._memory = dict(memory)


class LimitedMemoryBFGS(Optimizer):
    """L-BFGS with the linearised step.

    References:
        Nocedal, Math. Comput. 35 (1980) 773.
    """

    N_PAIRS = 6

    def __init__(self) -> None:
        self._memory: dict[str, torch.Tensor] = {}

    def step(self, point: Point, precondition: Preconditioner) -> torch.Tensor:
        """Step along the quasi-Newton direction to the minimum of the quadratic model."""
        memory = self._memory
        steps, changes = memory.get("steps"), memory.get("changes")
        if "gradient" in memory:
            newest = (
                (point.parameters - memory["parameters"])[None],
                (point.gradient - memory["gradient"])[None],
            )
            if torch.dot(newest[0][0], newest[1][0]) > 0:
                steps = newest[0] if steps is None else torch.cat([steps, newest[0]])[-self.N_PAIRS :]
                changes = newest[1] if changes is None else torch.cat([changes, newest[1]])[-self.N_PAIRS :]
        direction = -_two_loops(point.gradient, steps, changes, precondition)
        if not torch.dot(direction, point.gradient) < 0:
            direction, steps, changes = -precondition(point.gradient), None, None
        self._memory = {"parameters": point.parameters, "gradient": point.gradient}
        if steps is not None and changes is not None:
            self._memory |= {"steps": steps, "changes": changes}
        return _to_minimum(point, direction)

    def memory(self) -> dict[str, torch.Tensor]:
        """Last point and the pairs of steps and gradient changes."""
        return dict(self._memory)

    def restore(self, memory: Mapping[str, torch.Tensor]) -> None:
        """Take them up."""
        self._memory = dict(memory)


class Adam(Optimizer):
    """Adam: some steps of the parameters for each solution of the wave equation.

    Between two solutions the waves are linearised, but the medium is exact however nonlinear its parameters.

    References:
        Kingma & Ba, ICLR 2015, algorithm 1.
    """

    monotone = False
    MOMENTUM, SPREAD, FLOOR = 0.9, 0.999, 1e-8

    def __init__(self, learning_rate: float, n_inner: int) -> None:
        self.learning_rate = learning_rate
        self.n_inner = n_inner
        self._memory: dict[str, torch.Tensor] = {}

    def step(self, point: Point, precondition: Preconditioner) -> torch.Tensor:  # noqa: ARG002 # has its own
        """Take the steps; return their sum."""
        rates = self.learning_rate * point.learning_rates
        gradient, moved = point.gradient, torch.zeros_like(point.gradient)
        for inner in range(self.n_inner):
            if inner:
                gradient = point.nearby(point.parameters + moved)[1]
            moved = moved - rates * self._direction(gradient)
        return moved

    def _direction(self, gradient: torch.Tensor) -> torch.Tensor:
        memory = self._memory
        mean = memory.get("mean", torch.zeros_like(gradient))
        square = memory.get("square", torch.zeros_like(gradient))
        count = memory.get("count", torch.zeros((), dtype=torch.float64)) + 1
        mean = self.MOMENTUM * mean + (1 - self.MOMENTUM) * gradient
        square = self.SPREAD * square + (1 - self.SPREAD) * gradient.square()
        self._memory = {"mean": mean, "square": square, "count": count}
        spread = (square / (1 - self.SPREAD ** float(count))).sqrt()
        # The floor is relative: gradients of different stages and scalings are orders of magnitude apart.
        floor = self.FLOOR * float(spread.max()) + 1e-300
        return mean / (1 - self.MOMENTUM ** float(count)) / (spread + floor)

    def memory(self) -> dict[str, torch.Tensor]:
        """Moments and their count."""
        return dict(self._memory)

    def restore(self, memory: Mapping[str, torch.Tensor]) -> None:
        """Take them up."""
        self._memory = dict(memory)


def optimizer_for(stage: Stage) -> Optimizer:
    """The optimizer that a stage names."""
    if stage.optimizer == "gauss-newton":
        return GaussNewton(stage.n_inner)
    if stage.optimizer == "adam":
        return Adam(stage.learning_rate, stage.n_inner)
    return ConjugateGradients() if stage.optimizer == "conjugate-gradients" else LimitedMemoryBFGS()


def _to_minimum(point: Point, direction: torch.Tensor) -> torch.Tensor:
    curvature = point.quadratic(direction)
    slope = float(torch.dot(direction, point.gradient))
    # An undefined curvature makes an undefined step, which the loop notices.
    return torch.zeros_like(direction) if curvature <= 0 else direction * (-slope / curvature)


def _two_loops(
    gradient: torch.Tensor,
    steps: torch.Tensor | None,
    changes: torch.Tensor | None,
    precondition: Preconditioner,
) -> torch.Tensor:
    if steps is None or changes is None:
        return precondition(gradient)
    scales = 1.0 / (steps * changes).sum(dim=1)
    result, weights = gradient.clone(), []
    for step, change, scale in zip(steps.flip(0), changes.flip(0), scales.flip(0), strict=True):
        weights.append(scale * torch.dot(step, result))
        result = result - weights[-1] * change
    shaped = precondition(changes[-1])
    result = precondition(result) * (torch.dot(steps[-1], changes[-1]) / torch.dot(changes[-1], shaped))
    for step, change, scale, weight in zip(steps, changes, scales, reversed(weights), strict=True):
        result = result + step * (weight - scale * torch.dot(change, result))
    return result
