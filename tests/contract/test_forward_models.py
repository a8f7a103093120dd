"""What every forward model promises, whatever its executor, storage and device; new ones join the list."""

from dataclasses import replace

import pytest
import torch

from tests.helpers import random_like, relative_error
from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.base import ForwardModel
from usct.forward.helmholtz import Helmholtz
from usct.forward.time_domain.model import TimeDomain
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

GRID = Grid.centred((21, 25), 1e-3)
ARRAY = TransducerArray(
    1e-3 * torch.tensor([[-6.3, 0.2], [5.1, -7.7], [4.4, 8.9]], dtype=torch.float64),
    torch.tensor([2, 0]),
    torch.tensor([0, 1, 2]),
)
FREQUENCIES = torch.tensor([200e3, 120e3, 290e3])

MODELS = {
    "torch": lambda **s: Helmholtz(GRID, ARRAY, executor="torch", pml_cells=6, **s),
    "compiled": lambda **s: Helmholtz(GRID, ARRAY, executor="compiled", pml_cells=6, **s),
    "single storage": lambda **s: Helmholtz(GRID, ARRAY, storage=torch.complex64, pml_cells=6, **s),
    "time": lambda **s: TimeDomain(
        Simulation(GRID, ARRAY, (120e3, 290e3), (1400.0, 1700.0), duration=6e-5, dtype=torch.float64, **s)
    ),
    "damped": lambda **s: Helmholtz(GRID, ARRAY, damping=2e4, pml_cells=6, **s),
}


@pytest.fixture(params=list(MODELS))
def model(request):
    return MODELS[request.param]()


def rough_medium(grid=GRID, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    speed, loss, dense = torch.rand(3, *grid.shape, generator=generator, dtype=torch.float64)
    return Medium(grid, *(m.to(dtype) for m in (1420 + 160 * speed, 30 * loss, 900 + 200 * dense)))


def test_shape_type_and_device(model):
    assert isinstance(model, ForwardModel)
    data = model(rough_medium(), FREQUENCIES)
    assert data.shape == (3, 2, 3)
    assert data.dtype == torch.complex128
    assert data.device.type == "cpu"
    assert torch.isfinite(torch.view_as_real(data)).all()
    assert not data.requires_grad


def test_many_frequencies_are_each_alone(model):
    medium = rough_medium()
    together = model(medium, FREQUENCIES)
    for number in range(len(FREQUENCIES)):
        # Sums of other lengths round differently.
        assert relative_error(model(medium, FREQUENCIES[number : number + 1])[0], together[number]) < 1e-14


def test_same_input_same_bits(model):
    medium = rough_medium()
    first, second = model.linearize(medium, 250e3), model.linearize(medium, 250e3)
    assert torch.equal(first.data, second.data)
    change = random_like((len(first.cells),), 1, False)
    assert torch.equal(first.apply(change), second.apply(change))
    assert torch.equal(first.adjoint(first.data), second.adjoint(first.data))


def test_cells_are_those_of_the_region_in_the_padded_grid(model):
    medium, where = rough_medium(), GRID.disc(5e-3)
    inside = torch.nn.functional.pad(where, (model.pml_cells,) * 4)
    assert tuple(inside.shape) == model.padded.shape == tuple(model.squared_slowness(medium, 250e3).shape)
    assert torch.equal(model.linearize(medium, 250e3, where).cells, inside.reshape(-1).nonzero()[:, 0])
    assert model.water_sound_speed == 1500.0


def test_inputs_are_left_as_they_were(model):
    medium = rough_medium()
    copies = [medium.sound_speed.clone(), medium.attenuation.clone(), medium.density.clone()]
    where = GRID.disc(5e-3)
    kept = where.clone()
    model.linearize(medium, 250e3, where).adjoint(torch.ones(2, 3, dtype=torch.complex128))
    assert torch.equal(where, kept)
    for before, after in zip(copies, (medium.sound_speed, medium.attenuation, medium.density), strict=True):
        assert torch.equal(before, after)


def test_gradient_has_the_type_of_the_medium(model):
    for dtype in (torch.float64, torch.float32):
        medium = rough_medium(dtype=dtype)
        speed = medium.sound_speed.clone().requires_grad_(True)
        data = model(replace(medium, sound_speed=speed), FREQUENCIES[:2])
        data.abs().square().sum().backward()
        assert speed.grad.dtype == dtype
        assert speed.grad.shape == GRID.shape
        assert torch.isfinite(speed.grad).all()


def test_single_precision_media_give_nearly_the_same_data(model):
    wanted = model(rough_medium(), FREQUENCIES)
    assert relative_error(model(rough_medium(dtype=torch.float32), FREQUENCIES), wanted) < 1e-5


@pytest.mark.parametrize("damping", [0.0, 2e4])
@pytest.mark.parametrize("storage", [torch.complex128, torch.complex64])
def test_executors_agree(storage, damping):
    medium = rough_medium()
    for where in (None, GRID.disc(6e-3)):
        one, other = (
            MODELS[name](storage=storage, damping=damping).linearize(medium, 250e3, where)
            for name in ("torch", "compiled")
        )
        assert relative_error(one.data, other.data) < 1e-12
        tolerance = 1e-12 if storage == torch.complex128 else 1e-6
        assert relative_error(one.fields, other.fields) < tolerance
        change, residual = random_like((len(one.cells),), 2, True), random_like((2, 3), 3, True)
        assert relative_error(one.apply(change), other.apply(change)) < tolerance
        assert relative_error(one.adjoint(residual), other.adjoint(residual)) < tolerance


def test_a_medium_on_another_grid_is_refused(model):
    with pytest.raises(ValueError, match="resampled"):
        model.linearize(rough_medium(Grid.centred((20, 25), 1e-3)), 250e3)


def test_calling_with_a_medium_on_another_grid_is_refused(model):
    with pytest.raises(ValueError, match="resampled"):
        model(rough_medium(Grid.centred((20, 25), 1e-3)), FREQUENCIES)
    shifted = Grid(GRID.shape, GRID.spacing, (0.0, 0.0))
    with pytest.raises(ValueError, match="resampled"):
        model(rough_medium(shifted), FREQUENCIES)


def test_a_frequency_too_high_for_the_grid_is_refused(model):
    with pytest.raises(InputError, match=r"0\.5 MHz .*(points per wavelength.*use at most 0\.4 MHz|outside)"):
        model(rough_medium(), torch.tensor([500e3]))


@pytest.mark.parametrize("place", [[0.0, 12.5e-3], [-10.1e-3, 0.0], [5.0, -7.0]])
def test_elements_outside_the_grid_are_refused(place):
    positions = torch.cat([ARRAY.positions, torch.tensor([place], dtype=torch.float64)])
    with pytest.raises(InputError, match="element 3 .* outside the grid; use a larger grid"):
        Helmholtz(GRID, TransducerArray.of(positions))


def test_geometry_of_three_dimensions_is_refused():
    with pytest.raises(ValueError, match="two-dimensional"):
        Helmholtz(Grid.centred((9, 9, 9), 1e-3), ARRAY)
    with pytest.raises(ValueError, match="speed_range"):
        Helmholtz(GRID, ARRAY, speed_range=(1600.0, 1400.0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("storage", [torch.complex128, torch.complex64])
def test_cuda_equals_cpu(storage):
    medium, where = rough_medium(), GRID.disc(6e-3)
    for region in (None, where):
        one = Helmholtz(GRID, ARRAY, executor="torch", storage=storage).linearize(medium, 250e3, region)
        cuda = Helmholtz(GRID, ARRAY, storage=storage, device=torch.device("cuda"))
        other = cuda.linearize(medium, 250e3, region)
        tolerance = 1e-10 if storage == torch.complex128 else 3e-6
        assert other.fields.is_cuda
        assert relative_error(other.data.cpu(), one.data) < 1e-10
        change, residual = random_like((len(one.cells),), 2, True), random_like((2, 3), 3, True)
        assert relative_error(other.apply(change).cpu(), one.apply(change)) < tolerance
        assert relative_error(other.adjoint(residual).cpu(), one.adjoint(residual)) < tolerance
        assert relative_error(other.gauss_newton(change).cpu(), one.gauss_newton(change)) < 2 * tolerance


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gradient_equals_cpu():
    gradients = []
    for device in ("cpu", "cuda"):
        medium = rough_medium()
        speed = medium.sound_speed.clone().requires_grad_(True)
        model = Helmholtz(GRID, ARRAY, device=torch.device(device))
        data = model(replace(medium, sound_speed=speed), FREQUENCIES)
        assert data.device.type == "cpu"
        data.abs().square().sum().backward()
        gradients.append(speed.grad)
    assert relative_error(gradients[1], gradients[0]) < 1e-10
