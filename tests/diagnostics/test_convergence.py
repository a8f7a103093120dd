"""Decay of the residuals as the inversion's own wave equation makes it, against what the kernel predicts."""

from collections.abc import Callable

import pytest
import torch

from tests.diagnostics.conftest import FORMS, IMAGE, REGION, models
from tests.helpers import random_like
from usct.diagnostics.convergence import (
    decay_error,
    descend,
    drift,
    effective_steps,
    measured_decay,
    predicted_decay,
    predicted_step,
    steepest_rate,
)
from usct.diagnostics.eigen import top_eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.inversion.objective import Objective, Point
from usct.inversion.optimizers import GaussNewton
from usct.misfit.spectra import LeastSquares, SourceWeights

N_STEPS = 5
Away = Callable[..., TangentKernels]


@pytest.fixture(scope="module")
def away(point_of: Callable[..., Point]) -> Away:
    """Kernels of a representation where data differ by what a change of its parameters makes."""

    def made(name: str, size: float, source_weights: SourceWeights = "none") -> TangentKernels:
        form = FORMS[name]()
        at = point_of(name).objective
        first, vector = TangentKernels(point_of(name), IMAGE), form.vector()
        shift = first.adjoint(first.apply(random_like(vector.shape, 3, False)))
        form.load(vector + size * shift / first.image_of(shift).abs().max())
        values = []
        for number, model in enumerate(models()):
            medium = form(model.grid)
            frequency = float(at.observed.frequencies[number])
            values.append(model.linearize(medium, frequency).data.detach())
        observed = type(at.observed)(torch.stack(values), at.observed.frequencies, at.observed.weights)
        form.load(vector)
        objective = Objective(models(), observed, LeastSquares(source_weights), form)
        return TangentKernels(objective.at(vector), IMAGE)

    return made


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("pixel", "none"),
        ("tailored", "none"),
        ("fourier", "none"),
        ("pixel", "transmit"),
        ("tailored", "both"),
    ],
)
def test_modes_decay_as_predicted_while_the_missing_change_is_small(away, name, weights):
    """Within 5 % of each mode's start, for a change of two parts in a thousand; with the wave equation solved anew.

    Whichever weights of transmits and receives are fitted to the data.
    """
    kernels = away(name, 2e-3, weights)
    pairs = top_eigenpairs(kernels, 8, tolerance=1e-6)
    rate = steepest_rate(pairs.values)
    measured = measured_decay(descend(kernels, rate, N_STEPS), pairs)
    predicted = predicted_decay(pairs.values, measured[0], rate, N_STEPS)
    assert measured.shape == (N_STEPS + 1, 8)
    assert float(measured[-1].norm() / measured[0].norm()) < 0.7, "hardly anything has decayed"
    found = decay_error(predicted, measured)
    assert found.share < 0.05, found
    assert found.decades < 0.02, found


def test_where_the_missing_change_is_large_the_prediction_fails_and_drift_tells(away):
    """A tenth of the slowness: off by far more than 5 %, and the kernel is seen to move where it did not before."""
    found = {}
    for size in (2e-3, 0.1):
        kernels = away("fourier", size)
        pairs = top_eigenpairs(kernels, 6, tolerance=1e-6)
        rate = steepest_rate(pairs.values)
        measured = measured_decay(descend(kernels, rate, N_STEPS), pairs)
        error = decay_error(predicted_decay(pairs.values, measured[0], rate, N_STEPS), measured)
        point = kernels.point
        step = -rate * kernels.scaled(kernels.adjoint(kernels.residual()))
        later = kernels.at(point.objective.at(point.parameters + 3 * step))
        point.objective.parameterization.load(point.parameters)
        found[size] = error.share, drift(kernels, later, pairs).total
    assert found[2e-3][0] < 0.05 < 0.10 < found[0.1][0], found
    assert 10 * found[2e-3][1] < found[0.1][1], found


def test_descent_leaves_everything_as_it_was(away):
    kernels = away("fourier", 2e-3)
    objective = kernels.point.objective
    vector, solves = objective.parameterization.vector(), objective.n_solves
    first = descend(kernels, 1e-3, 1)
    assert torch.equal(objective.parameterization.vector(), vector)
    assert objective.n_solves == solves
    assert torch.equal(first[0], kernels.residual())
    assert not torch.equal(first[1], first[0])


def test_a_full_gauss_newton_step_damps_each_mode_as_predicted(away):
    """The tailored grid's own step, its system solved to the end: damping / (l + damping)."""
    kernels = away("tailored", 2e-3)
    pairs = top_eigenpairs(kernels, 8, tolerance=1e-6)
    damping = 0.1 * float(pairs.values[0])
    objective = kernels.point.objective
    objective.parameterization.noise.fill_(damping)
    step = GaussNewton(200).step(kernels.point, lambda v: v)
    after = kernels.at(objective.at(kernels.point.parameters + step))
    measured = measured_decay([kernels.residual(), after.residual()], pairs)
    predicted = predicted_step(pairs.values, measured[0], damping)
    assert float((measured[1] - predicted).norm() / measured[0].norm()) < 0.02
    assert float(measured[1].norm() / measured[0].norm()) < 0.5


def test_the_kernel_of_the_optimizer_predicts_its_steps(away):
    """Of steps shaped by a fixed diagonal, as Adam's memory makes it: the plain kernel does not.

    Though it may choose the length of its steps so that its first mode decays as fast.
    """
    plain = away("fourier", 2e-3)
    spread = torch.exp(1.5 * random_like(plain.point.parameters.shape, 9, False))
    kernels = TangentKernels(plain.point, IMAGE, preconditioner=spread)
    residuals, errors = None, []
    for seen in (kernels, plain):
        pairs = top_eigenpairs(seen, 6, tolerance=1e-6)
        rate = steepest_rate(pairs.values, 0.2)
        residuals = residuals or descend(kernels, rate, N_STEPS)
        measured = measured_decay(residuals, pairs)
        errors.append(decay_error(predicted_decay(pairs.values, measured[0], rate, N_STEPS), measured).share)
    assert errors[0] < 0.05, errors
    assert errors[1] > 0.10, errors


def test_drift_is_that_of_dense_kernels(point_of):
    """Two points of a network: in all, by the representation alone, and by the waves alone."""
    before = TangentKernels(point_of("fourier"), IMAGE)
    objective = before.point.objective
    vector = before.point.parameters
    after = before.at(objective.at(vector + 0.3 * random_like(vector.shape, 8, False)))
    objective.parameterization.load(vector)
    pairs = top_eigenpairs(before, 4, tolerance=1e-6)
    cells = torch.eye(IMAGE.n_cells, dtype=torch.float64).reshape(-1, *IMAGE.shape)[REGION.reshape(-1)]
    waves = [torch.stack([k.wave(cell) for cell in cells], dim=1) for k in (before, after)]
    fields = [torch.stack([k.from_image(cell) for cell in cells]) for k in (before, after)]

    def kernel(wave: int, field: int) -> torch.Tensor:
        half = pairs.data_modes @ waves[wave] @ fields[field]
        return half @ half.T

    first = kernel(0, 0)
    expected = [float((kernel(*n) - first).norm() / first.norm()) for n in ((1, 1), (0, 1), (1, 0))]
    found = drift(before, after, pairs)
    assert [found.total, found.representation, found.waves] == pytest.approx(expected, rel=1e-8)
    assert min(expected) > 0.01
    still = drift(before, before, pairs)
    assert still.total == still.representation == still.waves == 0.0


def test_predictions_are_powers_and_their_limit():
    values, start = torch.tensor([4.0, 1.0, 0.0]).double(), torch.tensor([1.0, -2.0, 3.0]).double()
    found = predicted_decay(values, start, 0.125, 3)
    expected = torch.tensor([[1, -2, 3], [0.5, -1.75, 3], [0.25, -1.53125, 3], [0.125, -1.33984375, 3]])
    assert torch.allclose(found, expected.double())
    many = predicted_decay(values, start, 1e-4, 10_000)[-1]
    flow = predicted_decay(values, start, 1e-4, 10_000, flow=True)[-1]
    assert torch.allclose(many, flow, rtol=1e-3)
    assert torch.allclose(flow, start * torch.exp(-values))


def test_steps_until_a_mode_has_fallen():
    found = effective_steps(predicted_decay(torch.tensor([1.0, 0.5, 0.01]).double(), torch.ones(3), 0.5, 20))
    assert found.tolist() == [2.0, 4.0, torch.inf]


def test_modes_that_held_nothing_are_not_judged():
    predicted = torch.tensor([[1.0, 1e-6], [0.5, 1e-6]]).double()
    measured = torch.tensor([[1.0, 1e-6], [0.51, 9e-6]]).double()
    assert decay_error(predicted, measured).share == pytest.approx(0.01)
