"""The analytic fields obey the wave equation, its symmetries and its limits; no solver is involved."""

import math

import pytest
import torch

from usct.forward.analytic import cylinder_field, point_source_field

OUTSIDE = 2 * math.pi * 300e3 / 1500.0
RADIUS = 20e-3


def ring(radius, n, turn=0.0):
    angle = turn + 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return radius * torch.stack([torch.sin(angle), torch.cos(angle)], dim=1)


def relative_error(value, expected):
    return float(torch.linalg.vector_norm(value - expected) / torch.linalg.vector_norm(expected))


def helmholtz_residual(field_at, centres, wavenumber, step):
    """|laplacian p + k^2 p| / |k^2 p| by the nine-point fourth-order difference of field_at."""
    weights = {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12}
    laplacian = 0.0
    for axis in (0, 1):
        for offset, weight in weights.items():
            shift = torch.zeros(2, dtype=torch.float64)
            shift[axis] = offset * step
            laplacian = laplacian + weight * field_at(centres + shift) / step**2
    restoring = wavenumber**2 * field_at(centres)
    return relative_error(laplacian, -restoring)


def test_green_function_is_outgoing_and_has_unit_source():
    receivers = torch.tensor([[0.0, 0.1], [0.0, 0.1001], [0.0, 1e-7], [0.0, 2e-7]], dtype=torch.float64)
    field = point_source_field(torch.zeros(1, 2), receivers, OUTSIDE)[0]
    phase_slope = torch.angle(field[1] / field[0]) / 1e-4
    assert float(phase_slope) == pytest.approx(-OUTSIDE, rel=1e-3)
    # Near the source g tends to -log(r) / (2 pi), whose flux through a small circle is -1.
    assert float((field[3] - field[2]).real) == pytest.approx(-math.log(2) / (2 * math.pi), rel=1e-5)


def test_green_function_decays_in_a_lossy_medium():
    receivers = torch.tensor([[0.1, 0.0], [0.2, 0.0]], dtype=torch.float64)
    lossless = point_source_field(torch.zeros(1, 2), receivers, OUTSIDE)[0].abs()
    lossy = point_source_field(torch.zeros(1, 2), receivers, OUTSIDE - 8j)[0].abs()
    # 0.1 m more at 8 Np/m; the amplitude factor 1 / sqrt|k| is common to both receivers.
    assert float((lossy / lossless)[1] / (lossy / lossless)[0]) == pytest.approx(math.exp(-0.8), rel=1e-3)


def test_coincident_points_and_sources_inside_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        point_source_field(torch.zeros(1, 2), torch.zeros(1, 2), OUTSIDE)
    with pytest.raises(ValueError, match="outside"):
        cylinder_field(ring(0.01, 3), ring(0.1, 4), OUTSIDE, OUTSIDE, RADIUS)
    with pytest.raises(ValueError, match="shape"):
        point_source_field(torch.zeros(1, 3), torch.zeros(1, 2), OUTSIDE)


@pytest.mark.parametrize("receiver_radius", [5e-3, 19.9e-3, 20.1e-3, 80e-3])
@pytest.mark.parametrize("wavenumber", [OUTSIDE, OUTSIDE - 5j, 0.05])
def test_equal_media_leave_the_green_function(receiver_radius, wavenumber):
    sources, receivers = ring(60e-3, 5), ring(receiver_radius, 7, turn=0.2)
    field = cylinder_field(sources, receivers, wavenumber, wavenumber, RADIUS)
    assert relative_error(field, point_source_field(sources, receivers, wavenumber)) < 1e-11


@pytest.mark.parametrize("inside", [OUTSIDE * 1500 / 1570, OUTSIDE * 1500 / 1430 - 6j])
def test_reciprocity_between_different_radii(inside):
    one, other = ring(60e-3, 6), ring(90e-3, 5, turn=0.1)
    there = cylinder_field(one, other, OUTSIDE, inside, RADIUS, density_ratio=1.3)
    back = cylinder_field(other, one, OUTSIDE, inside, RADIUS, density_ratio=1.3)
    assert relative_error(there, back.T) < 1e-12


@pytest.mark.parametrize("ratio", [1.0, 0.6, 1.85])
@pytest.mark.parametrize("inside", [OUTSIDE * 1500 / 1570, OUTSIDE * 1500 / 2800 - 30j])
def test_pressure_and_normal_velocity_are_continuous(ratio, inside):
    sources = ring(45e-3, 4)
    step = 1e-6

    def at(radius):
        return cylinder_field(sources, ring(radius, 9, turn=0.3), OUTSIDE, inside, RADIUS, ratio)

    surface, within = at(RADIUS * (1 + 1e-12)), at(RADIUS)
    assert relative_error(surface, within) < 1e-9
    slope_out = (-3 * surface + 4 * at(RADIUS + step) - at(RADIUS + 2 * step)) / (2 * step)
    slope_in = (3 * within - 4 * at(RADIUS - step) + at(RADIUS - 2 * step)) / (2 * step)
    assert relative_error(slope_in / ratio, slope_out) < 1e-5


@pytest.mark.parametrize("inside", [OUTSIDE * 1500 / 1570, OUTSIDE * 1500 / 1430 - 6j])
def test_both_sides_obey_the_helmholtz_equation(inside):
    sources = ring(60e-3, 3)

    def field_at(receivers):
        return cylinder_field(sources, receivers, OUTSIDE, inside, RADIUS, density_ratio=1.2)

    # The truncation error of the difference is (k h)^4 / 90 = 1e-5 at a fortieth of a wavelength.
    step = 2 * math.pi / OUTSIDE / 40
    assert helmholtz_residual(field_at, ring(35e-3, 8, turn=0.1), OUTSIDE, step) < 2e-5
    assert helmholtz_residual(field_at, ring(8e-3, 8, turn=0.1), inside, step) < 2e-5


def test_a_weak_small_cylinder_scatters_as_born_says():
    radius, inside = 1e-3, OUTSIDE * 1.001
    sources, receivers = ring(60e-3, 4), ring(70e-3, 6, turn=0.1)
    scattered = cylinder_field(sources, receivers, OUTSIDE, inside, radius) - point_source_field(
        sources, receivers, OUTSIDE
    )
    # Polar quadrature of the Born integral (k'^2 - k^2) g g over the disc.
    n_rings, n_angles = 20, 32
    radii = radius * (torch.arange(n_rings, dtype=torch.float64) + 0.5) / n_rings
    cells = torch.cat([ring(float(r), n_angles) for r in radii])
    area = (radii * (radius / n_rings) * (2 * math.pi / n_angles)).repeat_interleave(n_angles)
    to_cells = point_source_field(sources, cells, OUTSIDE)
    from_cells = point_source_field(cells, receivers, OUTSIDE)
    born = (inside**2 - OUTSIDE**2) * (to_cells * area) @ from_cells
    assert relative_error(scattered, born) < 2e-3


def test_large_and_tiny_cylinders_neither_overflow_nor_lose_accuracy():
    # 500 wavelengths across, and a receiver a thousandth of the radius off the surface.
    high = 2 * math.pi * 12e6 / 1500.0
    sources, receivers = ring(33e-3, 2), ring(30.03e-3, 5, turn=0.1)
    near = cylinder_field(sources, receivers, high, high, 30e-3)
    assert relative_error(near, point_source_field(sources, receivers, high)) < 1e-9
    tiny = cylinder_field(ring(60e-3, 2), ring(60e-3, 5, turn=0.1), OUTSIDE, OUTSIDE * 2, 1e-9)
    assert relative_error(tiny, point_source_field(ring(60e-3, 2), ring(60e-3, 5, turn=0.1), OUTSIDE)) < 1e-9


def test_the_centre_of_the_cylinder_is_an_ordinary_point():
    sources = ring(60e-3, 4)
    centre = cylinder_field(sources, torch.zeros(1, 2), OUTSIDE, OUTSIDE, RADIUS)
    assert relative_error(centre, point_source_field(sources, torch.zeros(1, 2), OUTSIDE)) < 1e-12
