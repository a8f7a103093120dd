"""Known skulls: what is held stays, known density and absorption join the waves."""

from dataclasses import replace

import pytest
import torch
from scipy.ndimage import distance_transform_edt

from tests.bench.heads import parts, start_of
from usct import api, phantom
from usct.acquisition import TransducerArray
from usct.config import load_config
from usct.forward.helmholtz import Helmholtz
from usct.grid import Grid, resample
from usct.inversion.discretization import Discretization
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.spectrum import tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

BOUNDS = (1350.0, 3300.0)
GRID = Grid.centred((31, 31), 2e-3)
BONE = GRID.disc(22e-3) & ~GRID.disc(18e-3)


def fields() -> list[Parameterization]:
    """A grid of each kind that stands at a bony ring."""
    start = Medium(GRID, torch.where(BONE, 2700.0, 1500.0).double())
    region = GRID.disc(26e-3)
    return [PixelGrid(start, region, BOUNDS), TailoredGrid(start, region, BOUNDS, tailored_spectrum(400.0))]


def moved(field: Parameterization) -> torch.Tensor:
    """Change of sound speed by a filtered random step, shape of the image [m/s]."""
    before = field(GRID).sound_speed.detach()
    noise = torch.randn(field.vector().shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    field.load(field.vector() + 1e-2 * field.precondition(noise, 800.0))
    return (field(GRID).sound_speed.detach() - before).abs()


@pytest.mark.parametrize("number", [0, 1], ids=["pixel", "tailored"])
def test_held_bone_keeps_its_speed_and_the_rest_moves(number: int) -> None:
    free, loose, fixed = (fields()[number] for _ in range(3))
    loose.hold(torch.where(BONE, 0.2, 1.0).double())
    fixed.hold(torch.where(BONE, 0.0, 1.0).double())
    changes = [moved(field) for field in (free, loose, fixed)]
    inside = GRID.disc(14e-3)
    assert float(changes[2][BONE].max()) == 0
    assert 0 < float(changes[1][BONE].mean()) < 0.5 * float(changes[0][BONE].mean())
    assert all(float(change[inside].mean()) > 0.1 for change in changes)
    with pytest.raises(ValueError, match="0 to 1"):
        free.hold(torch.full(GRID.shape, 2.0))


def test_known_density_and_absorption_join_the_waves() -> None:
    array = TransducerArray.ring(8, 28e-3)
    known = Medium(
        GRID,
        torch.full(GRID.shape, 1500.0, dtype=torch.float64),
        torch.where(BONE, 50.0, 0.0).double(),
        torch.where(BONE, 1800.0, 1000.0).double(),
    )
    speed = torch.where(BONE, 2700.0, 1500.0).double()
    plain = Discretization(6.0, (1450.0, 2800.0), pml_cells=6, storage=torch.complex128)
    model = replace(plain, known=known).model(array, (1450.0, 2800.0), 80e3, 0.0)
    bare = plain.model(array, (1450.0, 2800.0), 80e3, 0.0)
    assert isinstance(bare, Helmholtz)
    medium = Medium(GRID, speed).resampled(model.grid)
    full = replace(known.resampled(model.grid), sound_speed=medium.sound_speed)
    frequencies = torch.tensor([80e3], dtype=torch.float64)
    torch.testing.assert_close(model(medium, frequencies), bare(full, frequencies))
    difference = (model(medium, frequencies) - bare(medium, frequencies)).norm()
    assert float(difference) > 0.05 * float(bare(medium, frequencies).norm())


def test_what_cells_hold_below_their_size_takes_part() -> None:
    speed = torch.where(BONE, 2700.0, 1500.0).double()
    known = Medium(GRID, speed, None, torch.where(BONE, 1800.0, 1000.0).double())
    field = fields()[1].fitted_to(Medium(GRID, speed))
    array = TransducerArray.ring(8, 28e-3)
    plain = Discretization(6.0, (1450.0, 2800.0), pml_cells=6, storage=torch.complex128, known=known)
    model = replace(plain, start=field).model(array, (1450.0, 2800.0), 80e3, 0.0)
    right = known.resampled(model.grid)
    begun = model.squared_slowness(field(model.grid), 80e3).detach()
    pad = model.pml_cells
    found = begun.real[pad:-pad, pad:-pad].rsqrt()
    torch.testing.assert_close(found, right.sound_speed)
    assert float((field(model.grid).sound_speed.detach() - right.sound_speed).abs().max()) > 50


def test_brain_is_seen_through_a_known_skull_that_stays() -> None:
    head = phantom.make("head_haemorrhage", seed=1, spacing=1e-3)
    scan = api.simulate(head, TransducerArray.ring(64, 0.11), [50e3, 80e3, 110e3], snr_db=30.0)
    settings = ["schedule.frequencies_mhz=[0.05,0.08,0.11]", "grid.image_spacing_mm=1.2"]
    settings += ["start.bone_freedom=0.1", "bounds.sound_speed=[1350,3600]"]
    config = load_config("head", None, settings)
    scan = replace(scan, truth=None, start=start_of(head, "true", 1))
    result = api.reconstruct(scan, config)
    brain, bone, _ = parts(head)
    inner = torch.from_numpy(distance_transform_edt(brain.numpy()) > 3)
    grid, truth = head.medium.grid, head.medium.sound_speed
    start, end = (
        resample(medium.sound_speed, medium.grid, grid) - truth for medium in (result.start, result.medium)
    )
    # Half, where the whole experiment asks for a quarter: a quarter of the data, and no detail below 7 mm.
    assert float(end[inner].square().mean()) < 0.25 * float(start[inner].square().mean())
    assert float(end[bone].square().mean()) < 1.05 * float(start[bone].square().mean())
