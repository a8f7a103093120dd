"""Fields: promises that every representation keeps, whatever it is made of."""

import math

import pytest
import torch

from tests.helpers import assert_adjoint, assert_taylor, random_like, relative_error
from tests.unit.field_cases import (
    BOUNDS,
    DOUBLE,
    FINER,
    GRID,
    OTHER,
    REGION,
    blob,
    disturbed,
    every_field,
    every_network,
    of_vector,
    speed,
    tailoring,
)
from usct.inversion.objective import Tangent
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.network import NetworkField
from usct.parameterization.tailored import TailoredGrid


@every_field
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_nothing_has_changed_at_first_nor_after_a_reset(make, dtype):
    field = make(dtype=dtype)
    for grid in (GRID, OTHER):
        assert torch.equal(field.change(grid), torch.zeros(grid.shape, dtype=DOUBLE))
        flat = of_vector(field, grid)(field.vector())
        assert torch.equal(flat, speed(field, grid).reshape(-1)), "wherever in memory the weights lie"
        assert float((flat - 1500.0).abs().max()) < 1e-9
    disturbed(field)
    assert float((speed(field) - 1500.0).abs().max()) > 1.0
    field.reset()
    for grid in (GRID, OTHER):
        assert torch.equal(field.change(grid), torch.zeros(grid.shape, dtype=DOUBLE))


@every_field
def test_fitted_to_takes_a_medium_over_inside_the_region(make):
    wanted = blob(GRID)
    field = disturbed(make())
    before = speed(field)
    fitted = field.fitted_to(wanted)
    assert float((speed(fitted) - wanted.sound_speed)[REGION].abs().max()) < 1e-9
    assert float((speed(fitted) - 1500.0)[~REGION].abs().max()) < 1e-9
    assert torch.equal(speed(field), before), "the original is unchanged"
    disturbed(fitted)
    assert torch.equal(speed(field), before), "the copy has memory of its own"


@every_field
def test_a_trained_field_can_be_fitted_after_it_was_differentiated(make):
    field = make()
    Tangent(of_vector(field, OTHER), field.vector())
    assert float((speed(field.fitted_to(blob(GRID))) - blob(GRID).sound_speed)[REGION].abs().max()) < 1e-9


@every_field
def test_baking_keeps_the_medium(make):
    field = disturbed(make())
    before = speed(field)
    field.bake()
    assert relative_error(speed(field), before) < 1e-12
    assert float(field.change(GRID).detach().abs().max()) == 0


@every_field
@pytest.mark.parametrize("size", [1e2, 1e5])
def test_bounds_hold_however_large_the_parameters(make, size):
    field = disturbed(make(), size=size)
    for grid in (GRID, FINER):
        values = speed(field, grid)
        assert torch.isfinite(values).all()
        assert float(values.min()) >= BOUNDS[0] * (1 - 1e-12)
        assert float(values.max()) <= BOUNDS[1] * (1 + 1e-12)
    assert float(speed(field).std()) > 5, "and yet the field does something"


@every_field
def test_two_grids_agree_where_they_share_points(make):
    field = disturbed(make())
    assert float((speed(field) - 1500.0).abs().max()) > 1.0
    assert relative_error(speed(field, FINER)[::2, ::2], speed(field)) < 1e-12


@every_field
def test_nothing_changes_outside_the_region(make):
    field = disturbed(make())
    assert float((speed(field) - 1500.0)[~REGION].abs().max()) < 1e-9
    fixed = ~field.free_cells(OTHER)
    assert fixed.any()
    assert float((speed(field, OTHER) - 1500.0)[fixed].abs().max()) < 1e-6


@every_network
def test_a_seed_gives_the_same_weights_and_leaves_other_draws_alone(make):
    state = torch.get_rng_state()
    one, same, other = make(seed=3), make(seed=3), make(seed=4)
    one.reset()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.vector(), same.vector())
    assert not torch.equal(one.vector(), other.vector())


@every_field
def test_the_state_is_the_whole_field(make):
    field = disturbed(make().fitted_to(blob(GRID)))
    if isinstance(field, FourierNetwork):
        field.retailor(tailoring())
    other = make(seed=9)
    speed(other)  # what it keeps for these points must not survive
    other.load_state_dict(field.state_dict())
    assert torch.equal(speed(other), speed(field))
    assert torch.equal(other.learning_rates(), field.learning_rates())


@every_field
def test_derivative_by_taylor(make):
    field = disturbed(make())
    function, point = of_vector(field, OTHER), field.vector()
    direction = 1e-3 * (0.1 + point.abs()) * random_like(point.shape, 6, False)
    slope = Tangent(function, point).apply(direction)
    # A whitened grid is all but linear; a step must be longer there for its curvature to show.
    start = 1.0 if isinstance(field, TailoredGrid) else 0.01
    assert_taylor(function, point, direction, slope, start)


@every_field
def test_products_in_both_directions_are_adjoint(make):
    field = disturbed(make())
    tangent = Tangent(of_vector(field, OTHER), field.vector())
    change = random_like(field.vector().shape, 1, False)
    residual = random_like((OTHER.n_cells,), 2, False)
    assert_adjoint(tangent.apply, tangent.adjoint, change, residual, 1e-12, real=True)
    # A second time, when what belongs to the points comes from memory.
    again = Tangent(of_vector(field, OTHER), field.vector())
    assert torch.equal(again.adjoint(residual), tangent.adjoint(residual))


@every_field
def test_reverse_differentiation_agrees_with_the_products(make):
    field = disturbed(make())
    weights = random_like((OTHER.n_cells,), 3, False)
    field.zero_grad()
    (field(OTHER).sound_speed.reshape(-1) * weights).sum().backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in field.parameters()])
    assert relative_error(Tangent(of_vector(field, OTHER), field.vector()).adjoint(weights), gradient) < 1e-12
    assert all(float(p.grad.abs().max()) > 0 for p in field.parameters()), "all parameters take part"


@every_network
def test_arithmetic_follows_the_type_of_the_parameters(make):
    narrow, wide = make(dtype=torch.float32), make()
    assert {p.dtype for p in narrow.parameters()} == {narrow.vector().dtype} == {torch.float32}
    assert {p.dtype for p in wide.parameters()} == {DOUBLE}
    change = disturbed(wide).change(GRID).detach()
    narrow.load(wide.vector().float())
    assert 1e-12 < relative_error(narrow.change(GRID).detach(), change) < 2e-3
    converted = narrow.double()
    converted.load(wide.vector())
    assert relative_error(converted.change(GRID).detach(), change) < 1e-4, "first weights were rounded once"


@every_network
def test_learning_rates_are_positive_and_one_each(make):
    field = make()
    rates = field.learning_rates()
    assert rates.shape == field.vector().shape
    assert float(rates.min()) > 0
    assert torch.isfinite(rates).all()


@every_network
def test_adam_at_its_usual_rate_fits_an_image(make):
    """With the rates each field recommends, and an optimizer that knows nothing else."""
    field: NetworkField = make()
    wanted = blob(GRID).slowness(1.0).real.log() + math.log(1500.0)
    rates, point = field.learning_rates(), field.vector()
    mean = square = torch.zeros_like(point)
    errors = []
    for step in range(1, 151):
        field.zero_grad()
        loss = (field.change(GRID) - wanted)[REGION].square().mean()
        loss.backward()
        errors.append(float(loss.detach()) ** 0.5)
        gradient = torch.cat([p.grad.reshape(-1) for p in field.parameters()])
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient.square()
        spread = (square / (1 - 0.999**step)).sqrt() + 1e-30
        point = point - 1e-3 * rates * mean / (1 - 0.9**step) / spread
        field.load(point)
    assert errors[-1] < 0.2 * errors[0], f"{errors[0]:.4f} -> {errors[-1]:.4f}"
