"""One tiny scan for every test of the inversion: a disc in a small ring at low frequencies."""

import pytest
import torch

from usct import api
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.grid import Grid
from usct.inversion.discretization import Discretization
from usct.inversion.loop import Inversion
from usct.inversion.schedule import Stage
from usct.medium import Medium
from usct.misfit.selection import select
from usct.parameterization.base import Parameterization
from usct.parameterization.pixel import PixelGrid
from usct.phantom import Phantom

WATER = 1500.0
RADIUS = 40e-3
FREQUENCIES = (60e3, 90e3)
IMAGE = Grid.covering(34e-3, 3e-3)


@pytest.fixture(scope="session")
def scan() -> Acquisition:
    """Spectra of a soft-edged disc, simulated on finer grids than any inversion's, with 40 dB of noise."""
    grid = Grid.covering(45e-3, 1e-3)
    distance = torch.linalg.vector_norm(grid.points() - torch.tensor([6e-3, -4e-3]), dim=-1)
    bump = torch.sigmoid((14e-3 - distance) / 2e-3)
    labels = (bump > 0.5).to(torch.int16)
    phantom = Phantom(Medium(grid, WATER + 60.0 * bump * (bump > 1e-3)), labels, ("water", "tissue"))
    return api.simulate(phantom, TransducerArray.ring(32, RADIUS), FREQUENCIES, snr_db=40, seed=2)


@pytest.fixture(scope="session")
def observed(scan: Acquisition) -> Spectra:
    """The data that take part."""
    return select(scan.data, scan.array, 0.7, 0.01)


def pixel_grid() -> PixelGrid:
    """Pixels that stand at water."""
    return PixelGrid(Medium.homogeneous(IMAGE, WATER), IMAGE.disc(32e-3), (1400.0, 1700.0))


def inversion(
    array: TransducerArray,
    stages: tuple[Stage, ...],
    expected: tuple[float, float] = (1480.0, 1580.0),
    parameterization: Parameterization | None = None,
) -> Inversion:
    """An inversion from water, with exact products; of pixels by default."""
    discretization = Discretization(5.0, expected, WATER, 8, storage=torch.complex128)
    return Inversion(array, discretization, parameterization or pixel_grid(), stages, IMAGE)


def error(medium: Medium, truth: Medium) -> float:
    """Root mean square error of the sound speed in the middle of the image [m/s]."""
    difference = medium.sound_speed - truth.resampled(IMAGE).sound_speed
    return float(difference[IMAGE.disc(30e-3)].square().mean().sqrt())
