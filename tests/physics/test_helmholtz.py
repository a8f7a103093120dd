"""The frequency-domain solver against exact fields: amplitude and phase, with nothing scaled or fitted."""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers import assert_order, assert_reciprocal, relative_error
from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.analytic import cylinder_field, point_source_field
from usct.forward.helmholtz import Helmholtz
from usct.forward.stencil import apply_operator, assemble, fit_stencil
from usct.grid import Grid
from usct.medium import Medium

SPEED = 1500.0
FREQUENCY = 300e3
WAVELENGTH = SPEED / FREQUENCY
WAVENUMBER = 2 * math.pi / WAVELENGTH
N_ELEMENTS = 14
OTHERS = ~torch.eye(N_ELEMENTS, dtype=torch.bool)
"""Pairs of different elements: a line source's own field is infinite."""


def model_of(points, half_width=5.0, radius=4.3, **settings):
    """A ring of elements at odd places between the nodes; lengths in wavelengths."""
    grid = Grid.covering(half_width * WAVELENGTH, WAVELENGTH / points)
    positions = TransducerArray.ring(N_ELEMENTS, radius * WAVELENGTH).positions
    array = TransducerArray.of(positions + torch.tensor([0.13, -0.29]) * WAVELENGTH / points)
    return Helmholtz(grid, array, **settings)


def water(grid, attenuation=None, power=1.0, reference=1e6):
    medium = Medium.homogeneous(grid, SPEED)
    if attenuation is None:
        return medium
    lossy = torch.full(grid.shape, attenuation, dtype=torch.float64)
    return replace(medium, attenuation=lossy, attenuation_power=power, reference_frequency=reference)


def predict(model, medium, frequency=FREQUENCY):
    return model(medium, torch.tensor([frequency]))[0]


def between_elements(field, positions):
    """field(sources, receivers) for every pair of different elements, zero on the diagonal."""
    data = torch.zeros(len(positions), len(positions), dtype=torch.complex128)
    for i in range(len(positions)):
        others = [j for j in range(len(positions)) if j != i]
        data[i, others] = field(positions[i : i + 1], positions[others])[0]
    return data


def green_error(model, medium, wavenumber, frequency=FREQUENCY):
    exact = between_elements(lambda s, r: point_source_field(s, r, wavenumber), model.array.positions)
    return relative_error(predict(model, medium, frequency)[OTHERS], exact[OTHERS])


@pytest.mark.parametrize(("points", "most"), [(5, 4e-3), (6, 2e-3), (8, 1e-3)])
def test_homogeneous_field_is_the_green_function(points, most):
    # The requirement is 1e-2 at six points per wavelength; tighter bounds hold what is reached.
    model = model_of(points)
    assert green_error(model, water(model.grid), WAVENUMBER) < most


def test_a_stencil_fitted_to_a_wide_range_of_speeds_still_keeps_the_bound():
    model = model_of(6, speed_range=(1400.0, 1900.0))
    assert green_error(model, water(model.grid), WAVENUMBER) < 1e-2


@pytest.mark.parametrize("frequency", [150e3, 210e3])
def test_other_frequencies_on_the_same_grid(frequency):
    model = model_of(6, half_width=6.0)
    wavenumber = 2 * math.pi * frequency / SPEED
    assert green_error(model, water(model.grid), wavenumber, frequency) < 3e-3


def test_error_of_the_field_is_of_fourth_order():
    # Weights fitted to phases that shrink with the spacing cancel the second-order term, so fourth remains.
    # Layers of three wavelengths keep reflections out of it, and a wide fit keeps the error above rounding.
    points = [8, 11, 16]
    errors = []
    for number in points:
        model = model_of(number, half_width=2.5, radius=1.9, pml_cells=3 * number, speed_range=(1100.0, 1e4))
        errors.append(green_error(model, water(model.grid), WAVENUMBER))
    assert_order([1 / number for number in points], errors, expected=4.0, tolerance=0.2)


@pytest.mark.parametrize(("n_cells", "most"), [(6, 3e-3), (10, 1e-3), (16, 3e-4)])
def test_absorbing_layer_reflects_little(n_cells, most):
    # The reference differs in nothing but that its rim lies two wavelengths further out and absorbs better.
    near = model_of(6, pml_cells=n_cells)
    wider = near.grid.padded(12)
    far = replace(near, grid=wider, pml_cells=30)
    expected = predict(far, water(wider))[OTHERS]
    assert relative_error(predict(near, water(near.grid))[OTHERS], expected) < most


def test_without_an_absorbing_layer_the_rim_reflects():
    model = model_of(6, pml_cells=0)
    assert green_error(model, water(model.grid), WAVENUMBER) > 0.3


@pytest.mark.parametrize("power", [1.0, 1.3, 2.0])
def test_lossy_water_decays_by_its_power_law(power):
    frequency, attenuation = 240e3, 40.0
    model = model_of(7.5)
    medium = water(model.grid, attenuation, power, reference=500e3)
    loss = attenuation * (frequency / 500e3) ** power
    wavenumber = 2 * math.pi * frequency / SPEED - 1j * loss
    assert green_error(model, medium, wavenumber, frequency) < 1e-2
    # Over a diameter the loss is large against that error, so that the law and its sign are really seen.
    assert loss * 8 * WAVELENGTH > 0.3
    assert green_error(model, medium, wavenumber.conjugate(), frequency) > 0.3


@pytest.mark.parametrize("damping", [1e4, 3e4])
def test_damping_is_a_complex_frequency(damping):
    model = model_of(6, damping=damping)
    wavenumber = (2 * math.pi * FREQUENCY - 1j * damping) / SPEED
    assert green_error(model, water(model.grid), wavenumber) < 1e-2
    undamped = replace(model, damping=0.0)
    assert green_error(undamped, water(model.grid), wavenumber) > 0.05


def coverage(grid, radius, n_sub=8):
    """Share of every cell that lies in a disc about the origin."""
    step = (torch.arange(n_sub, dtype=torch.float64) + 0.5) / n_sub - 0.5
    offsets = grid.spacing * torch.stack(torch.meshgrid(step, step, indexing="ij"), dim=-1)
    inside = torch.linalg.vector_norm(grid.points()[..., None, None, :] + offsets, dim=-1) <= radius
    return inside.double().mean(dim=(-1, -2))


def cylinder(points, speed, loss, density):
    """Predicted, exact and incident data of a cylinder five wavelengths across."""
    model, radius = model_of(points, speed_range=(1425.0, 1575.0)), 2.5 * WAVELENGTH
    share = coverage(model.grid, radius)
    medium = Medium(
        model.grid,
        1.0 / ((1 - share) / SPEED + share / speed),
        loss * share if loss else None,
        1000.0 * (1 + (density - 1) * share) if density != 1 else None,
        reference_frequency=FREQUENCY,
    )
    inside = 2 * math.pi * FREQUENCY / speed - 1j * loss

    def field(sources, receivers):
        return cylinder_field(sources, receivers, WAVENUMBER, inside, radius, density)

    exact = between_elements(field, model.array.positions)
    incident = between_elements(lambda s, r: point_source_field(s, r, WAVENUMBER), model.array.positions)
    return predict(model, medium)[OTHERS], exact[OTHERS], incident[OTHERS]


@pytest.mark.parametrize(
    ("speed", "loss"), [(1570.0, 0.0), (1430.0, 0.0), (1540.0, 8.0), (1500.0, 20.0)], ids=str
)
def test_field_around_a_cylinder(speed, loss):
    predicted, exact, incident = cylinder(6, speed, loss, 1.0)
    assert relative_error(predicted, exact) < 5e-3
    # The scattered part alone, too: it is what an image is made of.
    assert relative_error(predicted - incident, exact - incident) < 3e-2


@pytest.mark.parametrize("speed", [1500.0, 1570.0])
def test_field_around_a_cylinder_of_other_density(speed):
    predicted, exact, incident = cylinder(6, speed, 0.0, 1.1)
    assert relative_error(predicted, exact) < 1e-2
    uniform = cylinder(6, speed, 0.0, 1.0)[0]
    assert relative_error(uniform, exact) > 2 * relative_error(predicted, exact)


def test_echo_of_a_density_contrast_converges():
    # A step of density is smeared over a cell: first order, so the weak echo needs a fine grid.
    points = [6, 9, 14]
    errors = []
    for number in points:
        predicted, exact, incident = cylinder(number, 1500.0, 0.0, 1.1)
        errors.append(relative_error(predicted - incident, exact - incident))
    assert errors[-1] < 0.1
    assert_order([1 / number for number in points], errors, expected=1.4, tolerance=0.5)


def test_a_uniform_density_changes_nothing():
    model = model_of(6)
    plain = water(model.grid)
    dense = replace(plain, density=torch.full(model.grid.shape, 950.0, dtype=torch.float64))
    assert relative_error(predict(model, dense), predict(model, plain)) < 1e-10


def rough_medium(grid, seed=0):
    """Independent values in every cell of every map: nothing is special about it."""
    generator = torch.Generator().manual_seed(seed)
    speed, loss, density = torch.rand(3, *grid.shape, generator=generator, dtype=torch.float64)
    return Medium(grid, 1420 + 160 * speed, 30 * loss, 900 + 200 * density, attenuation_power=1.2)


@pytest.mark.parametrize("damping", [0.0, 3e4])
def test_reciprocity_in_a_rough_lossy_medium(damping):
    model = model_of(5, half_width=3.0, radius=2.5, damping=damping)
    assert_reciprocal(predict(model, rough_medium(model.grid)), tolerance=1e-11)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.5), (0.25, 0.5), (0.37, 0.11)])
def test_the_place_between_nodes_does_not_matter(shift):
    model = model_of(6, half_width=3.5, radius=2.5)
    positions = TransducerArray.ring(N_ELEMENTS, 2.5 * WAVELENGTH).positions
    moved = TransducerArray.of(positions + torch.tensor(shift) * model.grid.spacing)
    assert green_error(replace(model, array=moved), water(model.grid), WAVENUMBER) < 2e-3


def test_transmits_and_receives_pick_rows_and_columns():
    model = model_of(5, half_width=3.0, radius=2.5)
    transmits, receives = torch.tensor([3, 0, 3]), torch.tensor([9, 2, 2, 5])
    chosen = replace(model, array=TransducerArray(model.array.positions, transmits, receives))
    medium = rough_medium(model.grid)
    assert torch.equal(predict(chosen, medium), predict(model, medium)[transmits][:, receives])


def test_shifting_the_grid_shifts_nothing_else():
    model = model_of(5, half_width=3.0, radius=2.5)
    by = torch.tensor([0.031, -0.017], dtype=torch.float64)
    origin = tuple((torch.tensor(model.grid.origin, dtype=torch.float64) + by).tolist())
    grid = replace(model.grid, origin=origin)
    moved = replace(model, grid=grid, array=TransducerArray.of(model.array.positions + by))
    medium = rough_medium(model.grid)
    # Rounding of the coordinates, magnified by the condition of the elements' weights.
    assert relative_error(predict(moved, replace(medium, grid=grid)), predict(model, medium)) < 1e-7


def resonant_speed(model, width):
    """Water speed at which a square of `width` nodes with a closed rim resonates on the model's grid."""
    scheme = fit_stencil(*model.speed_range, FREQUENCY, model.grid.spacing)
    shape = (width, width)
    ones = tuple(torch.ones(2 * width + 1, dtype=torch.complex128) for _ in shape)
    zero, unit = (assemble(scheme, torch.full(shape, v, dtype=torch.complex128), ones) for v in (0.0, 1.0))
    basis = torch.eye(width * width, dtype=torch.complex128).reshape(*shape, -1)
    stiffness, mass = (
        apply_operator(part, basis).reshape(width * width, -1).real for part in (-zero, unit - zero)
    )
    phases = torch.linalg.eigvals(torch.linalg.solve(mass, stiffness)).real.sqrt()
    speeds = 2 * math.pi * FREQUENCY * model.grid.spacing / phases
    return float(speeds[(speeds - SPEED).abs().argmin()])


@pytest.mark.parametrize("offset", [1e-3, 1e-4])
def test_water_in_which_eliminated_boxes_nearly_resonate(offset):
    # Boxes of six nodes are eliminated first; in uniform water they all resonate together.
    model = model_of(5, half_width=3.5, radius=3.1)
    speed = resonant_speed(model, 6) * (1 + offset)
    assert abs(speed - SPEED) < 50
    model = replace(model, water_sound_speed=speed)
    medium = Medium.homogeneous(model.grid, speed)
    assert model.linearize(medium, FREQUENCY).residual < 1e-8
    assert green_error(model, medium, 2 * math.pi * FREQUENCY / speed) < 4e-3


def test_a_resonance_of_the_dissections_boxes_is_got_around():
    model = model_of(5, half_width=3.5, radius=3.1)
    speed = resonant_speed(model, 6)
    model = replace(model, water_sound_speed=speed)
    medium = Medium.homogeneous(model.grid, speed)
    assert model.linearize(medium, FREQUENCY).residual < 1e-8
    assert green_error(model, medium, 2 * math.pi * FREQUENCY / speed) < 4e-3


def test_fields_spoilt_by_a_resonance_are_refused(monkeypatch):
    monkeypatch.setattr("usct.forward.helmholtz.OTHER_LAYOUTS", ())
    model = model_of(5, half_width=3.5, radius=3.1)
    medium = Medium.homogeneous(model.grid, resonant_speed(model, 6))
    with pytest.raises(InputError, match="resonance of the grid"):
        model.linearize(medium, FREQUENCY)
