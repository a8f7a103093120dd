"""The nine-point stencil: symmetry, symbols, dispersion, and the operator against a direct sum over couplings."""

import math

import pytest
import torch

from tests.helpers import assert_order, random_like, relative_error
from usct.forward.pml import stretching
from usct.forward.stencil import NEIGHBOURS, Stencil, apply_mass, apply_operator, assemble, fit_stencil

SCHEME = Stencil(straight=0.7, edge=0.08, corner=0.01)


def dense(couplings):
    """The operator as a matrix, entry by entry."""
    _, ny, nx = couplings.shape
    matrix = torch.zeros(ny * nx, ny * nx, dtype=couplings.dtype)
    for kind, (dy, dx) in enumerate(NEIGHBOURS):
        for y in range(ny):
            for x in range(nx):
                if 0 <= y + dy < ny and 0 <= x + dx < nx:
                    here, there = y * nx + x, (y + dy) * nx + x + dx
                    matrix[here, there] = matrix[there, here] = couplings[kind, y, x]
    return matrix


def operator(shape, seed=0, buoyancy=False, n_cells=2):
    squared = 1.0 + 0.2 * random_like(shape, seed, True)
    stretch = tuple(stretching(n, n_cells, 1e-3, 2e6 - 1e4j, 1500.0) for n in shape)
    light = 1.0 + 0.3 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return assemble(SCHEME, squared, stretch, light.to(squared) if buoyancy else None)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 3), (6, 7)])
@pytest.mark.parametrize("buoyancy", [False, True])
def test_operator_times_field_is_the_sum_over_couplings(shape, buoyancy):
    couplings = operator(shape, buoyancy=buoyancy)
    field = random_like((*shape, 3), 1, True)
    expected = (dense(couplings) @ field.reshape(-1, 3)).reshape(field.shape)
    assert relative_error(apply_operator(couplings, field), expected) < 1e-14
    assert relative_error(apply_operator(couplings, field[..., 0]), expected[..., 0]) < 1e-14


@pytest.mark.parametrize("shape", [(1, 4), (2, 3), (5, 7)])
def test_nothing_reaches_beyond_the_rim(shape):
    couplings = operator(shape, buoyancy=True)
    assert not couplings[1, :, -1].any()
    assert not couplings[2, -1].any()
    assert not couplings[3, -1].any()
    assert not couplings[3, :, -1].any()
    assert not couplings[4, -1].any()
    assert not couplings[4, :, 0].any()


@pytest.mark.parametrize("buoyancy", [False, True])
def test_transposing_the_grid_transposes_the_operator(buoyancy):
    # The two axes are treated alike, so exchanging them exchanges east and south.
    squared = 1.0 + 0.2 * random_like((5, 7), 0, True)
    light = 1.0 + 0.3 * torch.rand(5, 7, dtype=torch.float64).to(squared) if buoyancy else None
    stretch = tuple(stretching(n, 2, 1e-3, 2e6, 1500.0) for n in (5, 7))
    one = dense(assemble(SCHEME, squared, stretch, light))
    other = dense(assemble(SCHEME, squared.T, stretch[::-1], None if light is None else light.T))
    order = torch.arange(35).reshape(7, 5).T.reshape(-1)
    assert relative_error(other[order][:, order], one) < 1e-14


def test_inner_rows_have_the_symbol_of_a_plane_wave():
    n, phase = 9, 0.9
    ones = tuple(torch.ones(2 * n + 1, dtype=torch.complex128) for _ in range(2))
    couplings = assemble(SCHEME, torch.full((n, n), phase**2, dtype=torch.complex128), ones)
    for degrees in (0, 20, 45, 77):
        angle = math.radians(degrees)
        index = torch.arange(n, dtype=torch.float64)
        along = phase * (math.sin(angle) * index[:, None] + math.cos(angle) * index)
        wave = torch.polar(torch.ones_like(along), -along)
        stiffness, mass = SCHEME.symbols(*torch.tensor([phase, angle], dtype=torch.float64))
        expected = (phase**2 * mass - stiffness) * wave
        got = apply_operator(couplings, wave)
        # The terms nearly cancel, so rounding is judged against them and not against their sum.
        assert float((got - expected)[1:-1, 1:-1].abs().max()) < 1e-13


def test_a_uniform_buoyancy_scales_the_operator():
    squared = 1.0 + 0.2 * random_like((6, 5), 3, True)
    stretch = tuple(stretching(n, 2, 1e-3, 2e6, 1500.0) for n in (6, 5))
    scaled = assemble(SCHEME, squared, stretch, torch.full((6, 5), 1.7, dtype=squared.dtype))
    assert relative_error(scaled, 1.7 * assemble(SCHEME, squared, stretch)) < 1e-14


def test_a_constant_has_no_stiffness_inside():
    # div (buoyancy grad 1) = 0 whatever the buoyancy, the layers included.
    shape = (8, 9)
    stretch = tuple(stretching(n, 3, 1e-3, 2e6, 1500.0) for n in shape)
    light = 0.5 + torch.rand(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    couplings = assemble(
        SCHEME, torch.zeros(shape, dtype=torch.complex128), stretch, light.to(torch.complex128)
    )
    result = apply_operator(couplings, torch.ones(shape, dtype=torch.complex128))
    assert float(result[1:-1, 1:-1].abs().max()) < 1e-13


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (6, 7)])
def test_mass_stencil_matches_the_operator(shape):
    ones = tuple(torch.ones(2 * n + 1, dtype=torch.complex128) for n in shape)
    zero, unit = (torch.full(shape, v, dtype=torch.complex128) for v in (0.0, 1.0))
    mass = assemble(SCHEME, unit, ones) - assemble(SCHEME, zero, ones)
    field = random_like((*shape, 2), 6, True)
    assert relative_error(apply_mass(SCHEME, field), apply_operator(mass, field)) < 1e-13


def numerical_phase_error(scheme, points):
    """Largest relative error of k^2 over all directions at some points per wavelength."""
    phase = torch.tensor(2 * math.pi / points, dtype=torch.float64)
    stiffness, mass = scheme.symbols(phase, torch.linspace(0, math.pi, 61, dtype=torch.float64))
    return float((stiffness / (phase**2 * mass) - 1).abs().max())


@pytest.mark.parametrize(("points", "most"), [(4, 4e-3), (6, 8e-4)])
def test_fitted_weights_have_little_dispersion(points, most):
    spacing = 1500.0 / 300e3 / points
    scheme = fit_stencil(1425.0, 1575.0, 300e3, spacing)
    assert numerical_phase_error(scheme, points) < most
    assert scheme.centre + 4 * scheme.edge + 4 * scheme.corner == pytest.approx(1.0)
    # A plain five-point scheme is off by (k h)^2 / 12.
    assert numerical_phase_error(Stencil(1.0, 0.0, 0.0), points) > 30 * numerical_phase_error(scheme, points)


def test_one_speed_can_be_fitted():
    scheme = fit_stencil(1500.0, 1500.0, 300e3, 0.8e-3)
    assert numerical_phase_error(scheme, 1500.0 / 300e3 / 0.8e-3) < 5e-4


def test_dispersion_of_fitted_weights_is_of_fourth_order():
    points = [6, 9, 14, 20]
    errors = [numerical_phase_error(fit_stencil(1100.0, 1e4, 300e3, 5e-3 / n), n) for n in points]
    assert_order([1 / n for n in points], errors, expected=4.0)


def test_source_factor_is_that_of_a_radiated_wave():
    # For the five-point scheme the slope along an axis is 2 sin(k h), so the factor lies near 1 and falls with k h.
    plain = Stencil(1.0, 0.0, 0.0)
    assert plain.source_factor(1e-3) == pytest.approx(1.0, abs=1e-6)
    phase, step = 1.0, 1e-5
    angle = torch.arange(32, dtype=torch.float64) * (math.pi / 16)
    values = []
    for sign in (1, -1):
        stiffness, mass = SCHEME.symbols(torch.full_like(angle, phase + sign * step), angle)
        values.append(phase**2 * mass - stiffness)
    slope = ((values[0] - values[1]) / (2 * step)).mean()
    assert SCHEME.source_factor(phase) == pytest.approx(float(slope) / (-2 * phase), rel=1e-8)
    with torch.no_grad():
        assert SCHEME.source_factor(phase) == pytest.approx(float(slope) / (-2 * phase), rel=1e-8)
