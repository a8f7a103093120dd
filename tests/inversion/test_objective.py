"""The objective's gradient and curvature, and what each optimizer makes of them."""

import dataclasses

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from tests.inversion.conftest import WATER, pixel_grid
from usct.forward.helmholtz import Helmholtz
from usct.grid import Grid
from usct.inversion.objective import Objective
from usct.inversion.optimizers import optimizer_for
from usct.inversion.schedule import Stage
from usct.misfit.spectra import LeastSquares

OPTIMIZERS = ("gauss-newton", "conjugate-gradients", "l-bfgs")


def make_objective(scan, observed, source_weights="transmit") -> Objective:
    grid = Grid.covering(58e-3, 3.2e-3)
    models = [Helmholtz(grid, scan.array, (1450.0, 1580.0), WATER, 8) for _ in range(2)]
    return Objective(models, observed, LeastSquares(source_weights), pixel_grid())


def random_direction(objective: Objective, seed: int = 0) -> torch.Tensor:
    """Smooth relative changes of slowness of about one per cent."""
    n = sum(p.numel() for p in objective.parameterization.parameters())
    noise = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.1 * objective.parameterization.precondition(noise, 250.0)


@pytest.fixture(scope="module")
def objective(scan, observed) -> Objective:
    return make_objective(scan, observed)


@pytest.fixture(scope="module")
def point(objective):
    start = parameters_to_vector(objective.parameterization.parameters()).detach().clone()
    return objective.at(start + random_direction(objective, 5))


@pytest.mark.parametrize("source_weights", ["transmit", "none"])
def test_gradient_leaves_a_second_order_remainder(scan, observed, source_weights):
    objective = make_objective(scan, observed, source_weights)
    start = parameters_to_vector(objective.parameterization.parameters()).detach().clone()
    point, direction = objective.at(start), random_direction(objective)
    slope = float(point.gradient @ direction)
    steps = torch.tensor([0.2, 0.1, 0.05, 0.025], dtype=torch.float64)
    values = [objective.at(start + h * direction).value for h in steps.tolist()]
    values = torch.tensor(values, dtype=torch.float64)
    first = (values - point.value).abs()
    second = (values - point.value - steps * slope).abs()
    orders = [(torch.log(r[:-1] / r[1:]) / torch.log(torch.tensor(2.0))).tolist() for r in (first, second)]
    assert orders[0][-1] == pytest.approx(1.0, abs=0.1)
    assert orders[1][1:] == pytest.approx([2.0, 2.0], abs=0.1)


def test_curvature_is_symmetric_positive_and_the_quadratic(point, objective):
    u, v = random_direction(objective, 1), random_direction(objective, 2)
    hu, hv = point.curvature(u), point.curvature(v)
    assert float(u @ hv) == pytest.approx(float(v @ hu), rel=1e-10)
    for direction, product in ((u, hu), (v, hv)):
        assert point.quadratic(direction) == pytest.approx(float(direction @ product), rel=1e-10)
        assert point.quadratic(direction) > 0


def test_curvature_is_the_change_of_the_residuals(scan, observed):
    """With weights held, the derivative of the residual is what finite differences of the data say."""
    objective = make_objective(scan, observed, "none")
    start = parameters_to_vector(objective.parameterization.parameters()).detach().clone()
    point, direction, h = objective.at(start), random_direction(objective), 1e-4
    ahead, behind = objective.at(start + h * direction), objective.at(start - h * direction)
    energy = sum(
        float((r.weights * ((a.difference - b.difference) / (2 * h)).abs().square()).sum())
        for r, a, b in zip(point.residuals, ahead.residuals, behind.residuals, strict=True)
    )
    assert point.quadratic(direction) == pytest.approx(energy / 2, rel=1e-5)


def test_gradient_vanishes_outside_the_region(point, objective):
    region = objective.parameterization.region.reshape(-1)
    assert float(point.gradient[~region].abs().max()) == 0
    assert float(point.gradient[region].abs().max()) > 0


def test_each_evaluation_counts_one_solve_per_frequency(objective, point):
    before = objective.n_solves
    objective.at(point.parameters)
    assert objective.n_solves == before + 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_descends(objective, name):
    optimizer = optimizer_for(Stage((1.0,), optimizer=name, n_inner=3))
    at = objective.at(torch.ones_like(random_direction(objective)))
    values = [at.value]
    for _ in range(4):
        step = optimizer.step(at, lambda v: objective.parameterization.precondition(v, 600.0))
        assert float(step @ at.gradient) < 0, "a step must go downhill"
        at = objective.at(at.parameters + step)
        values.append(at.value)
    assert values == sorted(values, reverse=True)
    assert values[-1] < (0.1 if name == "gauss-newton" else 0.3) * values[0]


@pytest.mark.parametrize("name", (*OPTIMIZERS, "adam"))
def test_memory_restores_the_next_step_exactly(objective, name):
    def precondition(vector):
        return objective.parameterization.precondition(vector, 600.0)

    first, second = (optimizer_for(Stage((1.0,), optimizer=name, n_inner=2)) for _ in range(2))
    at = objective.at(torch.ones_like(random_direction(objective)))
    for _ in range(2):
        at = objective.at(at.parameters + first.step(at, precondition))
    second.restore(first.memory())
    assert torch.equal(first.step(at, precondition), second.step(at, precondition))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_to_gain_is_no_step(point, name):
    flat = dataclasses.replace(point, gradient=torch.zeros_like(point.gradient))
    step = optimizer_for(Stage((1.0,), optimizer=name)).step(flat, lambda v: v)
    assert float(step.abs().max()) == 0
