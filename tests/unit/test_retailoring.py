"""Fields whose kernels are reshaped on the way, and what is particular to each kind."""

import math

import pytest
import torch

from tests.helpers import random_like, relative_error
from tests.unit.field_cases import (
    BOUNDS,
    DOUBLE,
    GRID,
    NYQUIST,
    REGION,
    START,
    adaptive,
    disturbed,
    gaussian,
    speed,
    tailored_grid,
    tailoring,
)
from usct.acquisition import TransducerArray
from usct.parameterization.features import gaussian_features, instrument_features
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import RadialSpectrum, Tailoring, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid


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


def test_a_fresh_network_keeps_standard_normal_weights_when_it_is_retailored():
    field, trained = adaptive(), disturbed(adaptive())
    before = field.vector()
    amplitudes = field.amplitudes.clone()
    assert field.is_fresh()
    assert not trained.is_fresh()
    for network in (field, trained):
        network.retailor(tailoring())
    assert torch.equal(field.vector(), before), "only the features change"
    assert relative_error(field.amplitudes, amplitudes) > 0.1
    assert torch.equal(field.change(GRID), torch.zeros(GRID.shape, dtype=DOUBLE))
    assert relative_error(trained.get_buffer("initial_first"), field.get_buffer("initial_first")) > 0.1


def test_features_of_the_instrument_take_the_place_of_others():
    field = disturbed(gaussian())
    before = speed(field)
    ring = TransducerArray.ring(32, 30e-3)
    points = GRID.points()[REGION]
    sampled = instrument_features(tailored_spectrum(500.0), ring, torch.ones(32, 32), 500.0, points, 24)
    field.use(sampled)
    assert relative_error(speed(field), before) < 1e-12
    assert torch.equal(field.wavenumbers, sampled.wavenumbers)
    other = gaussian(seed=4)
    other.load_state_dict(disturbed(field).state_dict())
    assert torch.equal(speed(other), speed(field))
    with pytest.raises(ValueError, match="24 features are needed, got 25"):
        field.use(gaussian_features(100.0, 25))


def test_a_prior_of_zero_leaves_the_features_as_they_are():
    field = adaptive()
    before = field.amplitudes.clone()
    nothing = RadialSpectrum(torch.linspace(0, 900, 5, dtype=DOUBLE), torch.zeros(5, dtype=DOUBLE))
    field.retailor(Tailoring(nothing, nothing, 0.1))
    assert torch.equal(field.amplitudes, before)


def test_first_sines_of_a_rescaled_siren_have_the_wavenumber_asked_for():
    field = Siren(START, REGION, BOUNDS, rescaled=True, wavenumber=800.0, n_hidden=4000, n_layers=1)
    weights = field.get_parameter("sine0").detach().double() * field.sines.factors[0] / field.unit
    # 4000 draws estimate a root mean square to about half a per cent.
    assert float(weights.square().sum(dim=0).mean().sqrt()) == pytest.approx(800.0, rel=0.02)


def test_grids_interpolate_their_tables():
    field = MultiGrid(
        START, REGION, BOUNDS, coarsest=2e-3, finest=1e-3, n_levels=2, n_columns=1, dtype=DOUBLE
    )
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
