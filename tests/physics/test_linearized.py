"""Exactness of the linearised forward model: adjoint, Taylor, autograd, Gauss-Newton, region of interest."""

from dataclasses import replace

import pytest
import torch

from tests.helpers import assert_adjoint, assert_taylor, dot, random_like, relative_error
from usct.acquisition import TransducerArray
from usct.forward.helmholtz import Helmholtz
from usct.grid import Grid
from usct.medium import Medium

FREQUENCY = 300e3
GRID = Grid.centred((23, 26), 0.9e-3)
"""Small, not square, and at five points per wavelength."""


def model_of(**settings):
    y = torch.tensor([-7.3, 6.1, 0.4, -3.9, 5.0], dtype=torch.float64)
    x = torch.tensor([-6.2, -8.8, 9.1, 5.7, 7.6], dtype=torch.float64)
    positions = 1e-3 * torch.stack([y, x], dim=1)
    array = TransducerArray(positions, torch.tensor([0, 2, 3, 2]), torch.tensor([4, 0, 1, 2, 3]))
    return Helmholtz(GRID, array, **{"pml_cells": 6, **settings})


def rough_medium(attenuation=True, density=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    speed, loss, dense = torch.rand(3, *GRID.shape, generator=generator, dtype=torch.float64)
    return Medium(
        GRID,
        1420 + 160 * speed,
        30 * loss if attenuation else None,
        900 + 200 * dense if density else None,
        attenuation_power=1.2,
    )


def region():
    """A ragged region that touches the rim of the grid and an element."""
    inside = GRID.disc(7e-3)
    inside[0, 3:9] = True
    inside[12:14, :] = True
    return inside


def shapes(linearized):
    return tuple(linearized.data.shape), len(linearized.cells)


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("where", [None, region()], ids=["whole", "region"])
@pytest.mark.parametrize("damping", [0.0, 2e4])
def test_adjoint(where, is_complex, damping):
    linearized = model_of(damping=damping).linearize(rough_medium(), FREQUENCY, where)
    data, n_cells = shapes(linearized)
    assert_adjoint(
        linearized.apply,
        linearized.adjoint,
        random_like((n_cells,), 1, is_complex),
        random_like(data, 2, True),
        real=not is_complex,
    )


def test_whole_grid_includes_the_absorbing_layers():
    model = model_of()
    linearized = model.linearize(rough_medium(), FREQUENCY)
    assert torch.equal(linearized.cells, torch.arange(model.padded.n_cells))
    assert linearized.residual < 1e-10


def data_of_squared_slowness(model, medium, cells):
    """The data as a function of the squared slowness of some cells of the padded grid, relative to the medium's."""
    base = model.squared_slowness(medium, FREQUENCY)
    buoyancy = model._buoyancy(medium)

    def data(change):
        squared = base.reshape(-1).index_add(0, cells, change.to(base)).reshape(base.shape)
        return model._linearize(squared, buoyancy, FREQUENCY, None, False).data

    return data, float(base.abs().mean())


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("where", [None, region()], ids=["whole", "region"])
@pytest.mark.parametrize(("attenuation", "density"), [(False, False), (True, True)], ids=["plain", "rich"])
def test_taylor_in_squared_slowness(where, is_complex, attenuation, density):
    model, medium = model_of(), rough_medium(attenuation, density)
    linearized = model.linearize(medium, FREQUENCY, where)
    data, scale = data_of_squared_slowness(model, medium, linearized.cells)
    direction = scale * random_like((len(linearized.cells),), 3, is_complex)
    origin = torch.zeros_like(direction)
    assert_taylor(data, origin, direction, linearized.apply(direction), start=0.01)


def test_the_cells_of_the_absorbing_layer_alone():
    model, medium = model_of(), rough_medium()
    linearized = model.linearize(medium, FREQUENCY)
    data, scale = data_of_squared_slowness(model, medium, linearized.cells)
    layer = torch.nn.functional.pad(torch.zeros(1, *GRID.shape), (6,) * 4, value=1.0).reshape(-1)
    direction = scale * layer * random_like((len(layer),), 4, False)
    assert_taylor(data, torch.zeros_like(direction), direction, linearized.apply(direction), start=0.02)


@pytest.mark.parametrize("name", ["sound_speed", "attenuation"])
@pytest.mark.parametrize("density", [False, True], ids=["uniform", "dense"])
def test_autograd_through_the_forward_model(name, density):
    model, medium = model_of(), rough_medium(density=density)
    frequencies = torch.tensor([FREQUENCY, 0.8 * FREQUENCY])
    observed = model(rough_medium(density=density, seed=5), frequencies)

    def objective(values):
        predicted = model(replace(medium, **{name: values}), frequencies)
        return 0.5 * (predicted - observed).abs().square().sum()

    point = getattr(medium, name).clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(objective(point), point)
    assert gradient.dtype == torch.float64
    assert gradient.shape == GRID.shape
    # Upwards everywhere, so that the attenuation stays positive and no slope cancels by chance.
    start = {"sound_speed": 1.0, "attenuation": 4.0}[name]
    direction = random_like(GRID.shape, 6, False).abs()
    slope = (gradient * direction).sum()
    with torch.no_grad():
        assert_taylor(objective, point.detach(), direction, slope, start=start, n_halvings=6)


def test_autograd_agrees_with_the_adjoint():
    model, medium = model_of(), rough_medium(attenuation=False)
    frequency = torch.tensor([FREQUENCY])
    speed = medium.sound_speed.clone().requires_grad_(True)
    predicted = model(replace(medium, sound_speed=speed), frequency)[0]
    weight = random_like(predicted.shape, 7, True)
    (gradient,) = torch.autograd.grad((predicted.conj() * weight).real.sum(), speed)
    linearized = model.linearize(medium, FREQUENCY, torch.ones(GRID.shape, dtype=torch.bool))
    # Nodes of the rim are continued into the layers, so that inner nodes alone compare.
    expected = (linearized.adjoint(weight).real.reshape(GRID.shape) * -2 / medium.sound_speed**3)[1:-1, 1:-1]
    assert relative_error(gradient[1:-1, 1:-1], expected) < 1e-12


@pytest.mark.parametrize("weighted", [False, True])
def test_gauss_newton_is_the_product_of_jacobians(weighted):
    linearized = model_of().linearize(rough_medium(), FREQUENCY, region())
    shape, n_cells = shapes(linearized)
    weights = random_like(shape, 8, False).abs() if weighted else None
    u, v = random_like((n_cells,), 9, False), random_like((n_cells,), 10, True)
    jacobian = torch.stack(
        [linearized.apply(column).reshape(-1) for column in torch.eye(n_cells, dtype=torch.float64)], dim=1
    )
    scale = torch.ones(shape).double() if weights is None else weights
    expected = jacobian.mH @ (scale.reshape(-1) * (jacobian @ v))
    product = linearized.gauss_newton(v, weights)
    assert relative_error(product, expected) < 1e-12
    # Hermitian and positive.
    other = linearized.gauss_newton(u, weights)
    norm = float(torch.linalg.vector_norm(product) * torch.linalg.vector_norm(u))
    assert abs(dot(u, product) - dot(other, v)) < 1e-12 * norm
    assert dot(u, other).real > 0


def test_jacobian_is_complex_linear():
    linearized = model_of().linearize(rough_medium(), FREQUENCY, region())
    v = random_like((len(linearized.cells),), 11, True)
    parts = linearized.apply(v.real.clone()) + 1j * linearized.apply(v.imag.clone())
    assert relative_error(linearized.apply(v), parts) < 1e-13


def test_products_on_a_region_are_those_of_the_whole_grid():
    model, medium = model_of(), rough_medium()
    whole, part = model.linearize(medium, FREQUENCY), model.linearize(medium, FREQUENCY, region())
    assert relative_error(part.data, whole.data) < 1e-12
    padded = torch.nn.functional.pad(region()[None], (6,) * 4)[0].reshape(-1)
    assert torch.equal(part.cells, padded.nonzero()[:, 0])
    change = random_like((len(part.cells),), 12, True)
    embedded = torch.zeros(model.padded.n_cells, dtype=torch.complex128)
    embedded[part.cells] = change
    assert relative_error(part.apply(change), whole.apply(embedded)) < 1e-12
    residual = random_like(part.data.shape, 13, True)
    assert relative_error(part.adjoint(residual), whole.adjoint(residual)[part.cells]) < 1e-12
    expected = whole.gauss_newton(embedded)[part.cells]
    assert relative_error(part.gauss_newton(change), expected) < 1e-12


def test_an_empty_region_and_a_single_cell():
    model, medium = model_of(), rough_medium()
    nowhere = torch.zeros(GRID.shape, dtype=torch.bool)
    empty = model.linearize(medium, FREQUENCY, nowhere)
    assert empty.adjoint(torch.ones_like(empty.data)).shape == (0,)
    assert not empty.apply(torch.zeros(0, dtype=torch.float64)).any()
    corner = nowhere.clone()
    corner[-1, -1] = True
    one = model.linearize(medium, FREQUENCY, corner)
    assert one.cells.tolist() == [(GRID.shape[0] + 5) * (GRID.shape[1] + 12) + GRID.shape[1] + 5]


def test_single_storage_keeps_six_digits():
    # The fields are solved in double precision and only kept in single, so the data lose nothing.
    medium = rough_medium()
    double = model_of().linearize(medium, FREQUENCY, region())
    single = model_of(storage=torch.complex64).linearize(medium, FREQUENCY, region())
    assert torch.equal(single.data, double.data)
    assert single.fields.dtype == torch.complex64
    change = double.data.abs().mean() * random_like((len(double.cells),), 14, False)
    residual = random_like(double.data.shape, 15, True)
    assert relative_error(single.apply(change), double.apply(change)) < 3e-6
    assert relative_error(single.adjoint(residual), double.adjoint(residual)) < 3e-6
    assert_adjoint(single.apply, single.adjoint, change, residual, tolerance=3e-6, real=True)


def test_single_storage_bears_the_scale_of_squared_slowness():
    # Changes of 1e-9 s^2/m^2 and weights of 1e-7 must not fall out of the range of single precision.
    medium = rough_medium()
    double = model_of().linearize(medium, FREQUENCY)
    single = model_of(storage=torch.complex64).linearize(medium, FREQUENCY)
    change = 1e-12 * random_like((len(double.cells),), 16, False)
    assert relative_error(single.apply(change), double.apply(change)) < 3e-6
