"""A run on another device: fields, waves and products stay there, images and checkpoints come back."""

from dataclasses import replace

import pytest
import torch

from tests.inversion.conftest import FREQUENCIES, IMAGE, WATER, inversion, pixel_grid
from tests.other_device import ELSEWHERE, DeviceMixError, second_device
from usct.inversion.loop import Inversion
from usct.inversion.schedule import Stage, continuation, with_attenuation
from usct.inversion.state import State
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.lossy import Lossy, companion, companion_bounds
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import TissuePrior, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

REGION, BOUNDS = IMAGE.disc(32e-3), (1400.0, 1700.0)
START = Medium.homogeneous(IMAGE, WATER)
LIMITS = (0.0, 20.0)

MAKERS = {
    "pixel": pixel_grid,
    "filtered": lambda: PixelGrid(START, REGION, BOUNDS, lambda cutoff: tailored_spectrum(0.5 * cutoff)),
    "tailored": lambda: TailoredGrid(START, REGION, BOUNDS, tailored_spectrum(250.0)),
    "fourier": lambda: FourierNetwork(START, REGION, BOUNDS, n_features=24, n_hidden=12),
    "adaptive": lambda: FourierNetwork(
        START, REGION, BOUNDS, "tailored", n_features=24, n_hidden=12, adaptive=True
    ),
    "siren": lambda: Siren(START, REGION, BOUNDS, rescaled=True, n_hidden=12, n_layers=2),
    "multigrid": lambda: MultiGrid(START, REGION, BOUNDS, n_levels=3, n_hidden=12),
    "hybrid": lambda: Hybrid(START, REGION, BOUNDS, n_levels=3, n_sines=12, n_hidden=12),
    "lossy": lambda: Lossy(
        pixel_grid(), PixelGrid(companion(START, LIMITS), REGION, companion_bounds(LIMITS)), LIMITS
    ),
}

NETWORKS = ("fourier", "adaptive", "siren", "multigrid", "hybrid")


def stages(optimizer: str, n_iterations: int = 1) -> tuple[Stage, ...]:
    return continuation(FREQUENCIES, n_iterations, None, Stage((1.0,), optimizer=optimizer, n_inner=3))


def on(
    device: torch.device,
    array: object,
    schedule: tuple[Stage, ...],
    parameterization: Parameterization,
    **more: object,
) -> Inversion:
    usual = inversion(array, schedule, parameterization=parameterization)
    discretization = replace(usual.discretization, device=device, **more)
    return Inversion(array, discretization, parameterization, schedule, IMAGE)


@pytest.mark.parametrize("name", MAKERS)
def test_every_representation_gives_the_same_image_there(scan, observed, name):
    schedule = stages("adam" if name in NETWORKS else "gauss-newton")
    schedule = with_attenuation(schedule) if name == "lossy" else schedule
    here = on(torch.device("cpu"), scan.array, schedule, MAKERS[name]()).run(observed)
    with second_device() as device:
        run = on(device, scan.array, schedule, MAKERS[name]())
        assert all(p.device == ELSEWHERE for p in run.parameterization.parameters())
        there = run.run(observed)
    change = float((here.medium.sound_speed - START.sound_speed).abs().max())
    assert change > 1.0
    assert there.medium.sound_speed.device.type == "cpu"
    assert float((there.medium.sound_speed - here.medium.sound_speed).abs().max()) < 1e-3 * change
    assert there.message == here.message


def test_a_checkpoint_from_there_goes_on_here_and_back(scan, observed):
    schedule = stages("l-bfgs", 3)[:1]
    with second_device() as device:
        whole = on(device, scan.array, schedule, MAKERS["tailored"]()).run(observed)
        first = next(on(device, scan.array, schedule, MAKERS["tailored"]()).iterate(observed))
        assert all(v.device.type == "cpu" for v in first.arrays.values())
        state = State.from_arrays(first.arrays, first.texts)
        there = on(device, scan.array, schedule, MAKERS["tailored"]()).run(observed, state)
    here = on(torch.device("cpu"), scan.array, schedule, MAKERS["tailored"]()).run(observed, state)
    assert torch.equal(there.medium.sound_speed, whole.medium.sound_speed)
    assert float((here.medium.sound_speed - whole.medium.sound_speed).abs().max()) < 1e-3


def test_known_density_and_held_cells_come_along(scan, observed):
    density = torch.where(REGION, 1050.0, 1000.0)
    known = replace(START, density=density, attenuation=torch.where(REGION, 2.0, 0.0))
    images = []
    with second_device():
        for device in (torch.device("cpu"), ELSEWHERE):
            pixels = pixel_grid()
            pixels.hold(torch.where(IMAGE.disc(10e-3), 0.3, 1.0))
            run = on(device, scan.array, stages("gauss-newton"), pixels, known=known)
            images.append(run.run(observed).medium.sound_speed)
    assert float((images[0] - images[1]).abs().max()) < 1e-3


@pytest.mark.parametrize("name", ["tailored", "fourier"])
def test_what_is_known_of_tissues_comes_along(scan, observed, name):
    core = IMAGE.disc(10e-3)
    shares = torch.stack([0.5 * core, ~core]).double()
    speeds = START.sound_speed
    limits = torch.stack([speeds - torch.where(core, 12.0, 60.0), speeds + torch.where(core, 12.0, 60.0)])
    images = []
    with second_device():
        for device in (torch.device("cpu"), ELSEWHERE):
            field = MAKERS[name]()
            field.bound(limits.clamp(*field.bounds))
            field.hold(shares)
            field.expect([TissuePrior(1.2, 0.02, 5e-3), TissuePrior()])
            schedule = stages("adam" if name in NETWORKS else "gauss-newton")
            images.append(on(device, scan.array, schedule, field).run(observed).medium.sound_speed)
    change = (images[0] - speeds).abs()
    assert 1.0 < float(change[core].max()) <= 12.0
    assert float((images[0] - images[1]).abs().max()) < 1e-3 * float(change.max())


def test_the_second_device_refuses_what_a_gpu_would():
    with second_device() as device:
        remote, local = torch.ones(3).to(device), torch.ones(3)
        assert remote.device == device and float((remote + remote).sum()) == 6.0
        assert float(remote[local > 0].sum()) == 3.0, "indices may lie on the CPU"
        with pytest.raises(DeviceMixError, match="add met tensors of two devices"):
            remote + local
        with pytest.raises(DeviceMixError, match="array"):
            remote.numpy()
