"""Tangent kernels by products against their matrices, found by differentiating the prediction itself."""

from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from tests.diagnostics.conftest import FORMS, IMAGE, REGION, pixel
from tests.helpers import assert_adjoint, random_like, relative_error
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.preconditioning import adam_preconditioner
from usct.grid import Grid, resample
from usct.inversion.objective import Objective, Point
from usct.inversion.optimizers import Adam
from usct.medium import Medium
from usct.parameterization.pixel import PixelGrid

every_form = pytest.mark.parametrize("name", FORMS)


def weights_of(point: Point, seed: int = 3) -> torch.Tensor:
    """A preconditioner that differs from parameter to parameter by up to nine."""
    return 9 ** random_like(point.parameters.shape, seed, False).tanh()


def images_by_autograd(point: Point) -> torch.Tensor:
    """Derivative of the image's log slowness with respect to the parameters, shape (cell, parameter)."""
    objective = point.objective

    def log_slowness(vector: torch.Tensor) -> torch.Tensor:
        medium = functional_call(objective.parameterization, objective.named(vector), (IMAGE,))
        return -medium.sound_speed.log().reshape(-1)[REGION.reshape(-1)]

    return torch.autograd.functional.jacobian(log_slowness, point.parameters)


def waves_by_fields(point: Point, number: int) -> torch.Tensor:
    """Derivative of one frequency's data with respect to its cells, by products of fields, (tx rx, cell)."""
    waves = point.linearizations[number]
    weighted = waves.sensitivity[:, None, None] * waves.fields[:, :, None] * waves.spread_fields[:, None, :]
    return (weighted + weighted.mT).reshape(len(waves.cells), -1).T


def whitened(point: Point, number: int, change: torch.Tensor) -> torch.Tensor:
    """Rows of a change of the prediction, (tx rx, n), as real data: projected, weighed, real parts first."""
    residual = point.residuals[number]
    n_tx, n_rx = residual.weights.shape
    change = change.reshape(n_tx, n_rx, -1)
    if residual.projects:
        rows = []
        for tx in range(n_tx):
            root = residual.weights[tx].sqrt()
            direction = (
                root * residual.predicted[tx] / torch.linalg.vector_norm(root * residual.predicted[tx])
            )
            part = root[:, None] * change[tx]
            rows.append(part - direction[:, None] * (direction.conj() @ part))
        change = torch.stack(rows)
    else:
        change = residual.weights.sqrt()[:, :, None] * change
    change = (residual.source[:, :, None] * change)[residual.weights > 0]
    return torch.cat([change.real, change.imag]) / len(point.residuals) ** 0.5


def cells_by_autograd(point: Point, number: int) -> torch.Tensor:
    """Derivative of one frequency's squared slowness in its cells, shape (cell, parameter)."""
    objective, cells = point.objective, point.linearizations[number].cells
    model, frequency = objective.models[number], float(objective.observed.frequencies[number])

    def squared(vector: torch.Tensor) -> torch.Tensor:
        medium = functional_call(objective.parameterization, objective.named(vector), (model.grid,))
        return model.squared_slowness(medium, frequency).real.reshape(-1)[cells]

    return torch.autograd.functional.jacobian(squared, point.parameters)


def operator(point: Point, numbers: tuple[int, ...] = (0, 1)) -> torch.Tensor:
    """K without a preconditioner, as a matrix."""
    parts = []
    for number in numbers:
        change = waves_by_fields(point, number) @ cells_by_autograd(point, number).to(torch.complex128)
        parts.append(whitened(point, number, change))
    return torch.cat(parts)


def image_waves(point: Point) -> torch.Tensor:
    """J as a matrix on the image's region, from interpolation and fields, shape (n_data, cell)."""
    parts = []
    units = torch.eye(int(REGION.sum()), dtype=torch.float64)
    images = torch.zeros(len(units), *IMAGE.shape, dtype=torch.float64).masked_scatter(REGION, units)
    for number, waves in enumerate(point.linearizations):
        model = point.objective.models[number]
        on_grid = resample(images, IMAGE, model.grid)
        padded = torch.nn.functional.pad(on_grid, (model.pml_cells,) * 4, mode="replicate").reshape(
            len(units), -1
        )
        cells = 2 * point.cells(number) * padded[:, waves.cells]
        parts.append(whitened(point, number, waves_by_fields(point, number) @ cells.T.to(torch.complex128)))
    return torch.cat(parts)


@every_form
def test_operator_is_the_derivative_of_the_residuals(point_of, name):
    """K, K^T and the wave tangent kernel, in one go and many at once, with mutes and source weights projected."""
    point = point_of(name)
    kernels, matrix = TangentKernels(point, IMAGE), operator(point)
    assert relative_error(kernels.dense(), matrix) < 1e-8
    parameters, data = (random_like((4, n), n, False) for n in (kernels.n_parameters, kernels.n_data))
    for block, one in (
        (kernels.apply_all(parameters), torch.stack([kernels.apply(p) for p in parameters])),
        (kernels.adjoint_all(data), torch.stack([kernels.adjoint(d) for d in data])),
    ):
        assert relative_error(block, one) < 1e-8
    assert relative_error(kernels.apply(parameters[0]), matrix @ parameters[0]) < 1e-8
    assert relative_error(kernels.adjoint(data[0]), matrix.T @ data[0]) < 1e-8
    assert relative_error(kernels.wtk(data[0]), matrix @ (matrix.T @ data[0])) < 1e-8


@every_form
def test_image_kernels_are_products_of_their_matrices(point_of, name):
    """NTK, NSK and the model-side operator, preconditioned, with the constant and without."""
    point = point_of(name)
    features, jacobian, weights = images_by_autograd(point), image_waves(point), weights_of(point)
    matrix = operator(point) * weights.sqrt()
    for without in (False, True):
        kernels = TangentKernels(point, IMAGE, preconditioner=weights, without_constant=without)
        scaled, rest = features * weights.sqrt(), torch.eye(len(features), dtype=torch.float64)
        expected = matrix
        if without:
            rest = rest - 1 / len(features)
            constant = torch.full((len(features),), len(features) ** -0.5, dtype=torch.float64)
            expected = matrix - torch.outer(jacobian @ constant, constant @ scaled)
        scaled = rest @ scaled
        image, data = random_like(IMAGE.shape, 1, False), random_like((kernels.n_data,), 2, False)
        assert relative_error(kernels.ntk(image)[REGION], scaled @ (scaled.T @ image[REGION])) < 1e-8
        assert relative_error(kernels.nsk(data)[REGION], scaled @ (expected.T @ data)) < 1e-8
        assert relative_error(kernels.wtk(data), expected @ (expected.T @ data)) < 1e-8
        answer = scaled @ (expected.T @ (jacobian @ image[REGION]))
        assert relative_error(kernels.model(image)[REGION], answer) < 1e-8
        assert float(kernels.ntk(image)[~REGION].abs().max()) == 0


def test_wave_jacobian_of_images_is_interpolation_and_fields(point):
    kernels, jacobian = TangentKernels(point, IMAGE), image_waves(point)
    image, data = random_like(IMAGE.shape, 1, False), random_like((kernels.n_data,), 2, False)
    assert relative_error(kernels.wave(image), jacobian @ image[REGION]) < 1e-8
    assert relative_error(kernels.wave_adjoint(data)[REGION], jacobian.T @ data) < 1e-8


@every_form
def test_products_are_adjoint_to_one_another(point_of, name, monkeypatch):
    """Those with smooth changes alone too, whose arithmetic has single precision."""
    monkeypatch.setattr("usct.diagnostics.kernels.LEAST_CELLS", 1)
    kernels = TangentKernels(point_of(name), IMAGE, preconditioner=weights_of(point_of(name)))
    sides = {n: random_like((n,), n, False) for n in (kernels.n_parameters, kernels.n_data)}
    image = random_like(IMAGE.shape, 1, False)
    parameters, data = sides.values()
    assert_adjoint(kernels.apply, kernels.adjoint, parameters, data)
    assert_adjoint(kernels.image_of, kernels.from_image, parameters, image)
    assert_adjoint(kernels.wave, kernels.wave_adjoint, image, data)
    for waves, tolerance in ((None, 1e-10), (kernels.smooth(40), 1e-6)):
        assert_adjoint(
            lambda p, w=waves: kernels.apply_all(p, w),
            lambda d, w=waves: kernels.adjoint_all(d, w),
            torch.stack([parameters, parameters.flip(0)]),
            torch.stack([data, data.flip(0)]),
            tolerance,
        )


def test_residual_and_gradient_are_the_objectives(point):
    kernels = TangentKernels(point, IMAGE)
    residual = kernels.residual()
    assert 0.5 * float(residual @ residual) == pytest.approx(point.value, rel=1e-12)
    assert relative_error(kernels.adjoint(residual), point.gradient) < 1e-10


@pytest.mark.parametrize("source_weights", ["none", "transmit", "both"])
def test_source_weights_change_the_data_they_should(point_of, source_weights):
    """What source weights absorb is not seen; nothing is projected where the data's scale is trusted."""
    point = point_of("pixel", source_weights)
    kernels = TangentKernels(point, IMAGE)
    data = kernels.apply(random_like((kernels.n_parameters,), 7, False))
    for number, residual in enumerate(point.residuals):
        own = residual.weights.sqrt() * residual.source * residual.predicted
        overlap = (own.conj() * kernels.as_matrix(data, number)).sum(dim=1).abs()
        share = float(overlap.max() / own.abs().square().sum(dim=1).sqrt().max() / data.norm())
        assert share > 1e-3 if source_weights == "none" else share < 1e-12


def test_frequencies_are_blocks_of_the_stage(point):
    both = TangentKernels(point, IMAGE)
    matrix, number = both.dense(), both.frequency()
    for one in (0, 1):
        alone = TangentKernels(point, IMAGE, frequencies=(one,))
        assert relative_error(alone.dense(), matrix[number == one]) < 1e-12
        assert torch.equal(alone.residual(), both.residual()[number == one])
    swapped = TangentKernels(point, IMAGE, frequencies=(1, 0))
    assert relative_error(swapped.dense()[swapped.frequency() == 0], matrix[number == 0]) < 1e-12


def test_labels_say_where_each_datum_belongs(point):
    kernels = TangentKernels(point, IMAGE)
    data = random_like((kernels.n_data,), 4, False)
    for number, residual in enumerate(point.residuals):
        matrix, mine = kernels.as_matrix(data, number), kernels.frequency() == number
        assert float(matrix[residual.weights <= 0].abs().max()) == 0
        pairs = matrix[kernels.transmit()[mine], kernels.receive()[mine]]
        real, imaginary = data[mine].chunk(2)
        assert torch.equal(pairs[: len(real)].real, real)
        assert torch.equal(pairs[len(real) :].imag, imaginary)
    assert set(kernels.frequency().tolist()) == {0, 1}


class Lossy(PixelGrid):
    """Pixels in a medium with attenuation everywhere."""

    def forward(self, grid: Grid) -> Medium:
        loss = torch.full(grid.shape, 4.0, dtype=torch.float64)
        return replace(super().forward(grid), attenuation=loss)


def test_lossy_media_have_complex_slowness(point_of):
    """Real changes of slowness then change the squared slowness by complex numbers."""
    base = pixel()
    form = Lossy(Medium.homogeneous(IMAGE, 1500.0), REGION, base.bounds)
    form.load(base.vector())
    at = point_of().objective
    point = Objective(at.models, at.observed, at.misfit, form).at(form.vector())
    assert float(point.cells(0).imag.abs().max()) > 0
    kernels = TangentKernels(point, IMAGE)
    parameters, data = (random_like((4, n), n, False) for n in (kernels.n_parameters, kernels.n_data))
    singly = torch.stack([kernels.apply(p) for p in parameters])
    assert relative_error(kernels.apply_all(parameters), singly) < 1e-10
    assert relative_error(kernels.adjoint_all(data), torch.stack([kernels.adjoint(d) for d in data])) < 1e-10
    assert_adjoint(kernels.apply, kernels.adjoint, parameters[0], data[0])


def test_adam_moves_by_its_preconditioned_mean_gradient(point):
    """Held, its memory is a diagonal that multiplies the mean of the gradients."""
    adam, rates = Adam(0.01, 1), point.learning_rates
    gradients = [point.gradient, 1.5 * point.gradient.flip(0)]
    for gradient in gradients:
        step = adam.step(replace(point, gradient=gradient), lambda v: v)
    mean = (Adam.MOMENTUM * gradients[0] + gradients[1]) / (1 + Adam.MOMENTUM)
    made = adam_preconditioner(adam.memory(), 0.01, rates)
    assert relative_error(-made * mean, step) < 1e-10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frequencies": (2,)}, "different numbers below 2"),
        ({"frequencies": ()}, "different numbers below 2"),
        ({"frequencies": (0, 0)}, "different numbers below 2"),
        ({"region": torch.ones(3, 3, dtype=torch.bool)}, "region has shape"),
        ({"region": torch.zeros(IMAGE.shape, dtype=torch.bool)}, "at least one cell"),
        ({"preconditioner": torch.ones(3)}, "preconditioner has shape"),
        ({"preconditioner": -torch.ones(IMAGE.n_cells)}, "must not be negative"),
    ],
)
def test_refuses_what_does_not_fit(point, settings, words):
    with pytest.raises(ValueError, match=words):
        TangentKernels(point, IMAGE, **settings)


def test_adam_must_have_stepped():
    with pytest.raises(ValueError, match="after a step"):
        adam_preconditioner(Adam(0.01, 1).memory(), 0.01, torch.ones(3))
