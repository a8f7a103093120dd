"""The time-domain forward model: derivatives, its contract, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from tests.helpers import assert_adjoint, assert_taylor, random_like, relative_error
from tests.unit.time_cases import BAND, rough_medium, simulation
from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.base import ForwardModel
from usct.forward.time_domain.elements import Faces
from usct.forward.time_domain.model import TimeDomain
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid

FREQUENCIES = torch.tensor([300e3, 150e3, 220e3], dtype=torch.float64)
SILENT = 1.2e-4
"""A record after which little is left of the field [s]."""


def model_of(n_dims=2, duration=SILENT, **settings):
    return TimeDomain(replace(simulation(n_dims, **settings), duration=duration))


def exact_model():
    """Derivatives are exact as far as records are complete; damping makes them so soon."""
    return model_of(duration=4e-4, damping=4e4, time_step=2.7e-7)


def test_it_is_a_forward_model():
    model = model_of()
    assert isinstance(model, ForwardModel)
    data = model(rough_medium(model.grid), FREQUENCIES)
    assert data.shape == (3, 2, 3)
    assert data.dtype == torch.complex128
    assert not data.requires_grad


def test_frequencies_and_shots_are_independent():
    model = model_of()
    medium = rough_medium(model.grid)
    together = model(medium, FREQUENCIES)
    assert relative_error(model(medium, FREQUENCIES[1:2])[0], together[1]) < 1e-12
    swapped = TransducerArray(model.array.positions, torch.tensor([1]), torch.tensor([2, 0]))
    alone = TimeDomain(replace(model.simulation, array=swapped))(medium, FREQUENCIES)
    assert relative_error(alone, together[:, 1:, [2, 0]]) < 1e-12


@pytest.mark.parametrize("executor", ["torch", "compiled"])
def test_linearized_data_are_the_data(executor):
    model = model_of(duration=2e-5, executor=executor)
    medium = rough_medium(model.grid)
    found = [each.data for each in model.linearize_all(medium, FREQUENCIES.tolist())]
    assert relative_error(torch.stack(found), model(medium, FREQUENCIES)) < 1e-12


def test_data_change_as_the_derivative_says():
    model, medium = exact_model(), None
    medium = rough_medium(model.grid)
    direction = random_like(model.grid.shape, 9, False)
    frequency = 220e3

    def predict(speed):
        return model(replace(medium, sound_speed=speed), torch.tensor([frequency], dtype=torch.float64))[0]

    linearized = model.linearize(medium, frequency)
    assert linearized.residual < 1e-9

    def squared(speed):
        return model.squared_slowness(replace(medium, sound_speed=speed), frequency).reshape(-1)

    step = 1e-4
    speed = medium.sound_speed
    change = (squared(speed + step * direction) - squared(speed - step * direction)) / (2 * step)
    assert_taylor(predict, speed, direction, linearized.apply(change), start=4.0)


@pytest.mark.parametrize("part", ["sound_speed", "attenuation"])
def test_gradient_of_a_misfit_follows_from_backward(part):
    model = exact_model()
    medium = rough_medium(model.grid)
    observed = model(rough_medium(model.grid, seed=5), FREQUENCIES)
    point = getattr(medium, part).clone().requires_grad_(True)

    def objective(values):
        data = model(replace(medium, **{part: values}), FREQUENCIES)
        return 1e6 * (data - observed).abs().square().sum()

    (gradient,) = torch.autograd.grad(objective(point), point)
    direction = random_like(model.grid.shape, 7, False)
    slope = (gradient * direction).sum()
    assert slope.abs() > 0
    start = {"sound_speed": 4.0, "attenuation": 1.0}[part]
    with torch.no_grad():
        assert_taylor(objective, point.detach(), direction, slope, start=start)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_adjoint(n_dims):
    model = model_of(n_dims, duration=1e-6, time_step=2.2e-7)
    region = model.grid.disc(4e-3)
    linearized = model.linearize(rough_medium(model.grid), 250e3, region)
    assert len(linearized.cells) == int(region.sum())
    change, residual = random_like((len(linearized.cells),), 1, True), random_like((2, 3), 2, True)
    assert_adjoint(linearized.apply, linearized.adjoint, change, residual)


def test_the_region_is_a_part_of_the_whole():
    model = model_of(duration=1e-4)
    medium, region = rough_medium(model.grid), model.grid.disc(4e-3)
    part, whole = model.linearize(medium, 250e3, region), model.linearize(medium, 250e3)
    residual = random_like((2, 3), 2, True)
    assert relative_error(part.adjoint(residual), whole.adjoint(residual)[part.cells]) < 1e-12


def test_three_dimensions_have_exact_derivatives():
    model = model_of(3, duration=4e-5, damping=2e5, time_step=2.2e-7)
    medium, region = rough_medium(model.grid, "dense"), model.grid.disc(4e-3)
    direction = torch.where(region, random_like(model.grid.shape, 9, False), 0.0)
    linearized = model.linearize(medium, 250e3, region)
    assert linearized.residual < 1e-4
    speed, step = medium.sound_speed, 0.5

    def predict(speed):
        return model(replace(medium, sound_speed=speed), torch.tensor([250e3], dtype=torch.float64))[0]

    change = (-2 * direction / speed**3)[region]
    central = (predict(speed + step * direction) - predict(speed - step * direction)) / (2 * step)
    # Central differences and the end of the record leave a few parts in a hundred thousand.
    assert relative_error(linearized.apply(change), central) < 1e-4


def test_what_a_short_record_cuts_off_is_told():
    errors, claims = [], []
    model = exact_model()
    medium = rough_medium(model.grid)
    exact = model(medium, FREQUENCIES[:1])
    for duration in (2e-5, 5e-5):
        short = TimeDomain(replace(model.simulation, duration=duration))
        errors.append(relative_error(short(medium, FREQUENCIES[:1]), exact))
        claims.append(short.linearize(medium, float(FREQUENCIES[0])).residual)
    assert errors[1] < 0.1 * errors[0]
    assert claims[1] < 0.3 * claims[0]


def test_a_face_is_the_mean_of_its_points():
    # Two points on a face, a cell apart, and a record of each; the face hears their mean.
    model = model_of()
    normals = -model.array.positions
    width = 2 * model.grid.spacing
    faces = Faces(width, normals)
    whole = TimeDomain(replace(model.simulation, faces=faces))
    offsets = faces.offsets(model.grid.spacing)
    assert offsets.shape == (3, 2, 2)
    assert float((offsets * normals[:, None]).sum(dim=-1).abs().max()) < 1e-18
    medium = rough_medium(model.grid, "uniform")
    parts = []
    for a in range(2):
        ears = torch.cat([model.array.positions + offsets[:, b] for b in range(2)])
        positions = torch.cat([model.array.positions[:1] + offsets[:1, a], ears])
        index = torch.arange(len(positions))
        array = TransducerArray(positions, index[:1], index[1:])
        heard = TimeDomain(replace(model.simulation, array=array))(medium, FREQUENCIES)
        parts.append(heard.reshape(3, 1, 2, 3).mean(dim=2))
    # The weights solve a system of condition 1e9, so that equal ones agree to seven digits less than rounding.
    expected = torch.stack(parts).mean(dim=0)
    assert relative_error(whole(medium, FREQUENCIES)[:, :1], expected) < 1e-9


def test_a_disc_face_in_three_dimensions():
    normals = torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    offsets = Faces(6e-3, normals).offsets(1e-3)
    assert float((offsets * normals[:, None]).sum(dim=-1).abs().max()) < 1e-17
    radius = torch.linalg.vector_norm(offsets, dim=-1)
    assert 2e-3 < float(radius.max()) <= 3e-3
    assert float(offsets.mean(dim=1).abs().max()) < 1e-17


def test_what_cannot_be_computed_is_refused_before_any_work():
    model = model_of()
    medium = rough_medium(model.grid)
    with pytest.raises(InputError, match=r"0\.5 MHz lies outside the simulated band of 0\.15 to 0\.3 MHz"):
        model(medium, torch.tensor([500e3]))
    with pytest.raises(InputError, match=r"time step of 400 ns is unstable .* use at most 3\d\d\.\d ns"):
        model_of(time_step=4e-7)(medium, FREQUENCIES)
    with pytest.raises(InputError, match=r"need .* GB and 1e-06 GB are allowed; take fewer frequencies"):
        TimeDomain(model.simulation, largest_memory=1e3).linearize(medium, 250e3)
    with pytest.raises(InputError, match=r"0\.5 MHz .* points per wavelength .* use at most 0\.4 MHz"):
        Simulation(model.grid, model.array, (150e3, 500e3))
    far = TransducerArray.of(torch.tensor([[0.0, 0.0], [0.0, 9e-3]], dtype=torch.float64))
    with pytest.raises(InputError, match=r"element 1 at \(0\.0, 9\.0\) mm lies outside the grid"):
        TimeDomain(Simulation(model.grid, far, BAND))(medium, FREQUENCIES)


def test_programming_errors_are_value_errors():
    model = model_of()
    with pytest.raises(ValueError, match="resampled"):
        model(rough_medium(Grid.centred((20, 25), 1e-3)), FREQUENCIES)
    with pytest.raises(ValueError, match="dimensions"):
        Simulation(Grid.centred((9, 9, 9), 1e-3), model.array, BAND)
    with pytest.raises(ValueError, match="band must be increasing"):
        Simulation(model.grid, model.array, (3e5, 2e5))
    with pytest.raises(ValueError, match="width"):
        Faces(0.0, torch.ones(1, 2))
    with pytest.raises(ValueError, match="normal"):
        Faces(1e-3, torch.zeros(1, 2))
