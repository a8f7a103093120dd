"""The inversion with time stepping in place of the direct solver: the same objective, derivatives and image."""

import pytest
import torch

from tests.helpers import assert_taylor, dot, random_like, relative_error
from tests.inversion.conftest import FREQUENCIES, IMAGE, WATER, error, pixel_grid
from usct.diagnostics.kernels import TangentKernels
from usct.inversion.discretization import Discretization
from usct.inversion.loop import Inversion
from usct.inversion.objective import Objective
from usct.inversion.schedule import Stage, continuation
from usct.misfit.spectra import LeastSquares

SPEEDS = (1480.0, 1580.0)


def discretization(engine, points_per_wavelength=5.0):
    return Discretization(points_per_wavelength, SPEEDS, WATER, 10, storage=torch.complex128, engine=engine)


@pytest.fixture(scope="module")
def objectives(scan, observed):
    """The objective of one frequency, by time stepping and by the direct solver."""
    data = observed.at(torch.tensor(FREQUENCIES[:1], dtype=torch.float64))
    choices = [discretization(engine, 8.0) for engine in ("time", "helmholtz")]
    models = [choice.model(scan.array, SPEEDS, FREQUENCIES[0], 0.0) for choice in choices]
    return [Objective([model], data, LeastSquares("transmit"), pixel_grid()) for model in models]


@pytest.fixture(scope="module")
def points(objectives):
    """Both at water."""
    return [objective.at(objective.parameterization.vector()) for objective in objectives]


def test_it_is_the_objective_of_the_direct_solver(points):
    # Two discretisations at eight points per wavelength, and an end of the record, lie between them.
    one, other = points
    assert one.value == pytest.approx(other.value, rel=5e-3)
    assert relative_error(one.gradient, other.gradient) < 1e-2
    change = random_like(one.parameters.shape, 2, False)
    assert relative_error(one.curvature(change), other.curvature(change)) < 1e-2


def test_the_gradient_is_that_of_the_objective(objectives, points):
    # What the end of the record cuts off is missing in the gradient: shorter steps than these would show it.
    direction = random_like(points[0].parameters.shape, 1, False)
    slope = (points[0].gradient * direction).sum()

    def value(parameters):
        return torch.tensor(objectives[0].at(parameters).value)

    assert_taylor(value, points[0].parameters, direction, slope, start=2e-3, n_halvings=5)


def test_products_are_adjoint(points):
    point = points[0]
    change, data = random_like(point.parameters.shape, 3, False), random_like((32, 32), 4, True)
    weighted = point.residuals[0].weights * data
    left, right = dot(point.apply(change)[0], weighted).real, dot(change, point.adjoint([data])).real
    assert abs(left - right) < 1e-10 * float(change.norm() * point.adjoint([data]).norm())


def test_kernels_are_adjoint(points):
    kernels = TangentKernels(points[0], IMAGE)
    change, data = random_like((kernels.n_parameters,), 5, False), random_like((kernels.n_data,), 6, False)
    forward, backward = kernels.apply(change), kernels.adjoint(data)
    scale = float(forward.norm() * data.norm())
    assert abs(dot(forward, data) - dot(change, backward)) < 1e-10 * scale
    together = kernels.apply_all(change[None])[0]
    assert relative_error(together, forward) < 1e-12


def test_an_image_comes_out(scan, observed):
    stages = continuation(FREQUENCIES, 2, None, Stage((1.0,), n_inner=3))
    made = Inversion(scan.array, discretization("time"), pixel_grid(), stages, IMAGE)
    result = made.run(observed)
    assert error(result.medium, scan.truth) < 0.45 * error(result.start, scan.truth)
    # What is told of the solver is what the end of the records cut off.
    assert all(0 < record.solver_residual < 0.05 for record in result.history)
