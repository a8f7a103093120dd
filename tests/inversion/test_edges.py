"""Edges: least total variation under the misfit that the image had, against independent answers and whole runs."""

import dataclasses
import math

import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from tests.helpers import relative_error
from tests.inversion.conftest import FREQUENCIES, error, inversion
from usct.choosing import schedule_of
from usct.config import load_config
from usct.errors import InputError
from usct.grid import Grid, low_pass
from usct.inversion import edges
from usct.inversion.edges import sharpened, steepness, steps, steps_adjoint
from usct.inversion.schedule import Stage, continuation, with_edges
from usct.inversion.skipping import n_solves
from usct.inversion.state import State
from usct.parameterization.spectrum import RadialSpectrum
from usct.reconstruction import Status

SHAPE = (24, 30)


class Blurred:
    """J blurs: a derivative whose products are known, with the residual that an image leaves."""

    def __init__(self, residual: torch.Tensor, cutoff: float, window: torch.Tensor | None = None) -> None:
        self.image = Grid(tuple(residual.shape), 1e-3, (0.0, 0.0))
        self.window = torch.ones_like(residual) if window is None else window
        self.residual, self.cutoff = residual, cutoff

    def apply(self, change: torch.Tensor) -> torch.Tensor:
        return low_pass(self.window * change, 1e-3, self.cutoff)

    def curvature(self, change: torch.Tensor) -> torch.Tensor:
        return self.window * low_pass(self.apply(change), 1e-3, self.cutoff)

    def gradient(self) -> torch.Tensor:
        return self.window * low_pass(self.residual, 1e-3, self.cutoff)


def flat(value: float, end: float) -> RadialSpectrum:
    return RadialSpectrum(torch.tensor([0.0, end]).double(), torch.tensor([value, value]).double())


def blocks() -> torch.Tensor:
    image = torch.zeros(SHAPE, dtype=torch.float64)
    image[6:18, 5:14] = 0.04
    image[9:20, 18:26] = -0.03
    return image


def tv(image: torch.Tensor) -> float:
    return float(steepness(steps(image)).sum())


def test_steps_have_their_adjoint():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    values = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    one, other = float((steps(image) * values).sum()), float((image * steps_adjoint(values)).sum())
    assert one == pytest.approx(other, rel=1e-12)


def test_without_blur_it_is_the_denoising_of_rudin_osher_and_fatemi(monkeypatch):
    """An independent implementation, with the weight that leaves the same misfit, finds the same image."""
    monkeypatch.setattr(edges, "N_ROUNDS", 150)
    noise = 4e-3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data = blocks() + noise
    start = low_pass(data, 1e-3, 1500.0)
    misfit = 0.5 * float((start - data).square().sum())
    change = sharpened(Blurred(start - data, math.inf), start, misfit, flat(1.0, 1e5))
    assert 0.5 * float((start + change - data).square().sum()) == pytest.approx(misfit, rel=1e-2)

    def denoised(weight: float) -> torch.Tensor:
        return torch.from_numpy(denoise_tv_chambolle(data.numpy(), weight, eps=1e-10, max_num_iter=1500))

    low, high = 1e-4, 1.0
    for _ in range(20):
        middle = math.sqrt(low * high)
        left = 0.5 * float((denoised(middle) - data).square().sum())
        low, high = (middle, high) if left < misfit else (low, middle)
    assert relative_error(start + change, denoised(low)) < 1e-2


def test_blurred_borders_become_sharp():
    truth, cutoff = blocks(), 900.0
    noise = 2e-3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    residual = low_pass(noise, 1e-3, cutoff)
    start = low_pass(truth, 1e-3, cutoff) + residual
    derivative = Blurred(residual, cutoff)
    misfit = 0.5 * float(residual.square().sum())
    change = sharpened(derivative, start, misfit, flat(1.0, cutoff))
    left = 0.5 * float((residual + derivative.apply(change)).square().sum())
    assert left < 1.05 * misfit
    assert tv(start + change) < 0.8 * tv(start)
    assert float((start + change - truth).square().sum()) < 0.6 * float((start - truth).square().sum())


def test_what_may_not_change_does_not_and_a_flat_image_stays():
    window = torch.ones(SHAPE, dtype=torch.float64)
    window[:, :15] = 0
    start = low_pass(blocks(), 1e-3, 900.0)
    residual = torch.full(SHAPE, 1e-4, dtype=torch.float64)
    change = sharpened(Blurred(residual, 900.0, window), start, 1e-5, flat(1.0, 900.0))
    assert change[:, 15:].abs().max() > 0
    assert not change[:, :15].any()
    level = torch.full(SHAPE, -7.3, dtype=torch.float64)
    assert not sharpened(Blurred(residual, 900.0), level, 1e-5, flat(1.0, 900.0)).any()


def sharpening() -> tuple[Stage, ...]:
    template = Stage((1.0,), n_inner=3, tolerance=1e-6)
    return with_edges(continuation(FREQUENCIES, 2, None, template))


def test_a_run_ends_sharper_and_explains_the_data_as_well(scan, observed):
    plain, sharp = (inversion(scan.array, s).run(observed) for s in (sharpening()[:-1], sharpening()))
    assert sharp.status is Status.FINISHED
    assert sharp.history[-1].stage == "90 kHz, edges"
    assert sharp.history[-1].objective <= 1.02 * plain.history[-1].objective
    images = [-r.medium.sound_speed.log() for r in (plain, sharp)]
    assert tv(images[1]) < 0.95 * tv(images[0])
    assert error(sharp.medium, scan.truth) < error(plain.medium, scan.truth)
    assert torch.equal(sharp.medium.sound_speed[~sharp.region], sharp.start.sound_speed[~sharp.region])


def test_a_run_resumed_before_its_end_sharpens_the_same(scan, observed):
    whole = inversion(scan.array, sharpening()).run(observed)
    iterates = inversion(scan.array, sharpening()).iterate(observed)
    last = [next(iterates) for _ in range(4)][-1]
    iterates.close()
    resumed = inversion(scan.array, sharpening()).run(observed, State.from_arrays(last.arrays, last.texts))
    assert torch.equal(resumed.medium.sound_speed, whole.medium.sound_speed)


def test_a_budget_holds(scan, observed):
    config = load_config(None, None, ["schedule.edges=true", "schedule.max_solves=12"])
    result = inversion(scan.array, schedule_of(observed, config)).run(observed)
    assert result.history[-1].stage.endswith("edges")
    # What is left is for the look for cycle skips.
    assert result.history[-1].n_solves <= 12 - n_solves(observed)


def test_settings_put_the_edges_last(observed):
    config = load_config(
        None, None, ["schedule.edges=true", "attenuation.invert=true", "schedule.max_solves=40"]
    )
    schedule = schedule_of(observed, config)
    assert [stage.sharpens for stage in schedule] == [False] * (len(schedule) - 1) + [True]
    assert schedule[-1].unknown == "sound_speed"
    rest = schedule_of(
        observed, load_config(None, None, ["schedule.max_solves=38", "attenuation.invert=true"])
    )
    assert schedule == with_edges(rest)
    banded = load_config(None, None, ["schedule.edges=true", "misfit.name=envelope"])
    three = dataclasses.replace(
        observed,
        frequencies=torch.tensor([6e4, 7e4, 8e4]).double(),
        values=observed.values[:1].expand(3, -1, -1),
        weights=observed.weights[:1].expand(3, -1, -1),
    )
    with pytest.raises(InputError, match="let another follow"):
        schedule_of(three, banded)
