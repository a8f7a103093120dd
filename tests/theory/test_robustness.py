"""Sharp kernels are faster and fail sooner: full waveform inversion about the limit of cycle skipping (check 12)."""

import functools

import pytest
import torch

from tests.theory.ring import WATER, Ring
from usct.acquisition import Spectra
from usct.grid import Grid
from usct.inversion.discretization import Discretization
from usct.inversion.loop import Inversion
from usct.inversion.schedule import Stage
from usct.medium import Medium
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.spectrum import tailored_spectrum

N_ITERATIONS = 7
ENOUGH = 0.35
"""Share of the error at the start that counts as success."""

RING = Ring.of(26.0, 56, ratio=1.6)
FREQUENCY = RING.frequencies[0]
MODEL = Discretization(5.5, (1300.0, 1800.0), WATER, 8, storage=torch.complex128)


def phantom(grid: Grid, contrast: float) -> Medium:
    """A disc six tenths as wide as the region, with a hole; the contrast is one of log sound speed."""
    change = torch.zeros(grid.shape, dtype=torch.float64)
    for y, x, radius, soft, height in ((0.15, -0.1, 0.6, 0.05, 1.0), (-0.2, 0.3, 0.15, 0.04, -0.5)):
        centre = RING.object_radius * torch.tensor([y, x], dtype=torch.float64)
        distance = torch.linalg.vector_norm(grid.points() - centre, dim=-1) / RING.object_radius
        change += contrast * height * torch.sigmoid((radius - distance) / soft)
    return Medium(grid, WATER * change.exp())


@functools.cache
def observed(contrast: float) -> Spectra:
    model = MODEL.model(RING.array, (1300.0, 1800.0), FREQUENCY, 0.0)
    data = model.linearize(phantom(model.grid, contrast), FREQUENCY).data[None]
    return Spectra(data, torch.tensor([FREQUENCY]).double(), torch.ones(data.shape).double())


def iterations(contrast: float, sharpness: float, reach: float) -> int | None:
    """Updates by conjugate gradients from water until the error is small; None if it never is."""
    form = PixelGrid(
        RING.water,
        RING.region,
        (1200.0, 1900.0),
        kernel=lambda _: tailored_spectrum(RING.wave, sharpness, reach),
    )
    stage = Stage((FREQUENCY,), N_ITERATIONS, "conjugate-gradients", source_weights="none", tolerance=0.0)
    truth = phantom(RING.image, contrast).sound_speed[RING.region]
    start = float((WATER - truth).norm())
    run = Inversion(RING.array, MODEL, form, (stage,), RING.image).iterate(observed(contrast))
    for number, iterate in enumerate(run, 1):
        if float((iterate.medium.sound_speed[RING.region] - truth).norm()) < ENOUGH * start:
            return number
    return None


@pytest.mark.parametrize("reach", [0.2, 0.5])
def test_sharp_kernels_are_faster_and_skip_cycles_sooner(reach):
    """Delays of .4 of a period: all succeed, sharp ones first. Of .6: smooth ones alone.

    Beyond .7 every kernel failed that was tried, and how far a smooth one reaches made no difference to success
    (.1 to .5 of the band): of the two, it is the sharpness that trades speed against robustness.
    """
    sharp, smooth = 0.5 if reach == 0.5 else 1.0, 0.0
    quick, slow = iterations(0.08, sharp, reach), iterations(0.08, smooth, reach)
    assert quick is not None
    assert slow is not None
    assert quick < slow
    assert iterations(0.12, smooth, reach) is not None
    assert iterations(0.12, sharp, reach) is None
