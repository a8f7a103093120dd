"""Fields: promises that every representation keeps, whatever it is made of."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.func import functional_call

from tests.helpers import assert_adjoint, assert_taylor, random_like, relative_error
from usct.grid import Grid
from usct.inversion.objective import _Tangent
from usct.medium import Medium
from usct.parameterization.field import Field
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.network import NetworkField
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import RadialSpectrum, Tailoring, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

GRID = Grid.centred((25, 21), 1e-3)
FINER = Grid.centred((49, 41), 0.5e-3)
OTHER = Grid.centred((19, 23), 1.1e-3)
REGION = GRID.disc(9e-3)
BOUNDS = (1400.0, 1650.0)
START = Medium.homogeneous(GRID, 1500.0)
NYQUIST = math.pi / GRID.spacing
DOUBLE = torch.float64


def tailored_grid(seed: int = 0, dtype: torch.dtype = DOUBLE) -> TailoredGrid:  # noqa: ARG001 # it has none
    return TailoredGrid(START, REGION, BOUNDS, tailored_spectrum(600.0))


def gaussian(seed: int = 0, dtype: torch.dtype = DOUBLE) -> FourierNetwork:
    return FourierNetwork(START, REGION, BOUNDS, n_features=24, n_hidden=12, seed=seed, dtype=dtype)


def adaptive(seed: int = 0, dtype: torch.dtype = DOUBLE) -> FourierNetwork:
    return FourierNetwork(
        START, REGION, BOUNDS, "tailored", n_features=24, n_hidden=12, adaptive=True, seed=seed, dtype=dtype
    )


def siren(seed: int = 0, dtype: torch.dtype = DOUBLE) -> Siren:
    return Siren(START, REGION, BOUNDS, n_hidden=12, seed=seed, dtype=dtype)


def rescaled_siren(seed: int = 0, dtype: torch.dtype = DOUBLE) -> Siren:
    return Siren(START, REGION, BOUNDS, rescaled=True, n_hidden=12, n_layers=2, seed=seed, dtype=dtype)


def multigrid(seed: int = 0, dtype: torch.dtype = DOUBLE) -> MultiGrid:
    return MultiGrid(START, REGION, BOUNDS, 8e-3, 2e-3, n_levels=3, n_hidden=12, seed=seed, dtype=dtype)


def hashed(seed: int = 0, dtype: torch.dtype = DOUBLE) -> MultiGrid:
    return MultiGrid(
        START, REGION, BOUNDS, 8e-3, 2e-3, 3, interpolation="smooth", table_size=100, seed=seed, dtype=dtype
    )


def hybrid(seed: int = 0, dtype: torch.dtype = DOUBLE) -> Hybrid:
    return Hybrid(START, REGION, BOUNDS, n_levels=3, n_sines=12, n_hidden=12, seed=seed, dtype=dtype)


NETWORKS = (gaussian, adaptive, siren, rescaled_siren, multigrid, hashed, hybrid)
every_field = pytest.mark.parametrize("make", (tailored_grid, *NETWORKS))
every_network = pytest.mark.parametrize("make", NETWORKS)

Maker = Callable[..., Field]


def disturbed(field: Field, seed: int = 5, size: float = 0.15) -> Field:
    """The field with other parameters, as after training."""
    vector = field.vector()
    field.load(vector + size * (1 + vector.abs()) * random_like(vector.shape, seed, False).to(vector))
    return field


def speed(field: Field, grid: Grid = GRID) -> torch.Tensor:
    with torch.no_grad():
        return field(grid).sound_speed


def of_vector(field: Field, grid: Grid) -> Callable[[torch.Tensor], torch.Tensor]:
    """Sound speed on a grid as a function of the flattened parameters [m/s]."""

    def function(vector: torch.Tensor) -> torch.Tensor:
        named, first = {}, 0
        for name, parameter in field.named_parameters():
            named[name] = vector[first : first + parameter.numel()].view_as(parameter)
            first += parameter.numel()
        return functional_call(field, named, (grid,)).sound_speed.reshape(-1)

    return function


def blob(grid: Grid) -> Medium:
    """A smooth object within the linear part of the bounds."""
    squared = (grid.points() - torch.tensor([2e-3, -1e-3])).square().sum(dim=-1)
    return Medium(grid, 1500.0 + 60.0 * torch.exp(-squared / (2 * 4e-3**2)))


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
    _Tangent(of_vector(field, OTHER), field.vector())
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
    slope = _Tangent(function, point).apply(direction)
    # A whitened grid is all but linear; a step must be longer there for its curvature to show.
    start = 1.0 if isinstance(field, TailoredGrid) else 0.01
    assert_taylor(function, point, direction, slope, start)


@every_field
def test_products_in_both_directions_are_adjoint(make):
    field = disturbed(make())
    tangent = _Tangent(of_vector(field, OTHER), field.vector())
    change = random_like(field.vector().shape, 1, False)
    residual = random_like((OTHER.n_cells,), 2, False)
    assert_adjoint(tangent.apply, tangent.adjoint, change, residual, 1e-12, real=True)
    # A second time, when what belongs to the points comes from memory.
    again = _Tangent(of_vector(field, OTHER), field.vector())
    assert torch.equal(again.adjoint(residual), tangent.adjoint(residual))


@every_field
def test_reverse_differentiation_agrees_with_the_products(make):
    field = disturbed(make())
    weights = random_like((OTHER.n_cells,), 3, False)
    field.zero_grad()
    (field(OTHER).sound_speed.reshape(-1) * weights).sum().backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in field.parameters()])
    assert (
        relative_error(_Tangent(of_vector(field, OTHER), field.vector()).adjoint(weights), gradient) < 1e-12
    )
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


def tailoring(highest: float = 0.45 * NYQUIST, decay: float = 300.0) -> Tailoring:
    wavenumbers = torch.linspace(0, highest, 40, dtype=DOUBLE)
    gain = RadialSpectrum(wavenumbers, 1 / (1 + wavenumbers / 200.0))
    prior = RadialSpectrum(wavenumbers, torch.exp(-wavenumbers / decay))
    return Tailoring(gain, prior, 0.2, 700.0)


@pytest.mark.parametrize("make", [tailored_grid, gaussian, adaptive])
def test_retailoring_leaves_the_image_as_it_is(make):
    field = disturbed(make())
    before = speed(field) - 1500.0
    assert float(before.abs().max()) > 1.0
    field.retailor(tailoring())
    assert relative_error(speed(field) - 1500.0, before) < 1e-5


@pytest.mark.parametrize("make", [gaussian, adaptive])
def test_retailoring_multiplies_each_features_part_of_the_kernel(make):
    field = disturbed(make())
    amplitudes = field.amplitudes.clone()
    weights = random_like(GRID.shape, 8, False)
    gradients = []
    for _ in range(2):
        field.zero_grad()
        (field.change(GRID) * weights).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in field.named_parameters()})
        field.retailor(tailoring())
    before, after = gradients
    gain = (field.amplitudes / amplitudes).repeat(2)[:, None]
    assert float(gain.max() / gain.min()) > 2, "the kernel changes"
    assert relative_error(after["first"], gain * before["first"]) < 1e-9
    for name in set(before) - {"first"}:
        assert relative_error(after[name], before[name]) < 1e-9


def test_a_tailored_grid_takes_the_prior_as_its_kernel():
    field, target = tailored_grid(), tailoring()
    field.retailor(target)
    kernel = _kernel_about_the_middle(field)
    axes = [2 * math.pi * torch.fft.fftfreq(n, GRID.spacing, dtype=DOUBLE) for n in field.lattice]
    wavenumbers = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(dim=0).sqrt()
    middle = tuple(n // 2 for n in GRID.shape)
    expected = torch.fft.ifft2(target.prior(wavenumbers)).real.roll(middle, dims=(0, 1))
    inside = tuple(slice(m - 6, m + 7) for m in middle)
    assert relative_error(kernel[inside], expected[inside]) < 1e-12
    assert field.damping == target.noise


def _kernel_about_the_middle(field: TailoredGrid) -> torch.Tensor:
    """Tangent kernel of log slowness between the middle and all cells; the change is linear."""
    field.zero_grad()
    field.change(GRID)[tuple(n // 2 for n in GRID.shape)].backward()
    field.load(field.white.grad.reshape(-1))
    return field.change(GRID).detach()


def test_retailored_amplitudes_follow_the_wiener_target():
    field, target = adaptive(), tailoring(highest=0.3 * NYQUIST)
    assert field.tailored == "stage"
    assert gaussian().tailored == "never"
    field.retailor(target)
    wavenumbers = torch.linalg.vector_norm(field.wavenumbers, dim=1)
    prior = target.prior(wavenumbers)
    wanted = prior / (target.gain(wavenumbers) * prior + target.noise) * field.areas
    open_ = wavenumbers < target.prior.highest
    assert open_.any()
    assert not open_.all()
    share = field.amplitudes.square() / wanted
    assert float(share[open_].std() / share[open_].mean()) < 1e-9
    closed = field.amplitudes[~open_] / field.amplitudes.max()
    assert torch.allclose(closed, torch.full_like(closed, 1e-2)), "closed, yet ready to be opened"
    assert float(field.amplitudes.square().sum()) == pytest.approx(1, abs=1e-12)


def test_a_prior_of_zero_leaves_the_features_as_they_are():
    field = adaptive()
    before = field.amplitudes.clone()
    nothing = RadialSpectrum(torch.linspace(0, 900, 5, dtype=DOUBLE), torch.zeros(5, dtype=DOUBLE))
    field.retailor(Tailoring(nothing, nothing, 0.1, 700.0))
    assert torch.equal(field.amplitudes, before)


def test_first_sines_of_a_rescaled_siren_have_the_wavenumber_asked_for():
    field = Siren(START, REGION, BOUNDS, rescaled=True, wavenumber=800.0, n_hidden=4000, n_layers=1)
    weights = field.get_parameter("sine0").detach().double() * field.first_factor / field.unit
    # 4000 draws estimate a root mean square to about half a per cent.
    assert float(weights.square().sum(dim=0).mean().sqrt()) == pytest.approx(800.0, rel=0.02)


def test_grids_interpolate_their_tables():
    field = MultiGrid(START, REGION, BOUNDS, coarsest=2e-3, finest=1e-3, n_levels=2, dtype=DOUBLE)
    levels = field.levels
    assert levels.sides == [13, 25]
    nodes = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in (25, 25)], indexing="ij"), dim=-1)
    plane = (2 * nodes[..., 0] - 3 * nodes[..., 1]).double()
    table = torch.cat([plane[::2, ::2].reshape(-1), plane.reshape(-1)])[:, None]
    points = 2 * torch.rand(50, 2, generator=torch.Generator().manual_seed(1), dtype=DOUBLE) - 1
    expected = 2 * points[:, :1] - 3 * points[:, 1:]
    assert relative_error(levels.at(table, points), expected.expand(-1, 2)) < 1e-6


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: FourierNetwork(START, REGION, BOUNDS, "tailored", highest=2 * NYQUIST), "beyond|finer"),
        (lambda: FourierNetwork(START, REGION, BOUNDS, width=0.5 * NYQUIST), "finer image grid"),
        (lambda: FourierNetwork(START, REGION, BOUNDS, n_layers=0), "units and layers"),
        (lambda: Siren(START, REGION, BOUNDS, rescaled=True, wavenumber=2 * NYQUIST), "finer image grid"),
        (lambda: Siren(START, REGION, BOUNDS, w0=-1.0), "must be positive"),
        (lambda: MultiGrid(START, REGION, BOUNDS, coarsest=1e-3, finest=2e-3), "finest <= coarsest"),
        (lambda: Hybrid(START, REGION, BOUNDS, share=1.0), "share must lie between 0 and 1"),
        (lambda: Siren(START, REGION, BOUNDS, scale=0.0), "scale must be positive"),
        (lambda: Siren(START, REGION[:5], BOUNDS), "region has shape"),
        (lambda: TailoredGrid(START, REGION, BOUNDS, tailored_spectrum(NYQUIST)), "finer image grid"),
    ],
)
def test_what_cannot_be_is_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
