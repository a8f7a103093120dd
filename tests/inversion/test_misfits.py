"""Other misfits in the inversion: exact gradients, images, and starts that least squares cannot use."""

import pytest
import torch

from tests.helpers import assert_taylor, random_like
from tests.inversion.conftest import RADIUS, WATER, error, inversion, pixel_grid
from usct import api
from usct.acquisition import TransducerArray
from usct.grid import Grid
from usct.inversion.band import Band, BandData
from usct.inversion.discretization import Discretization
from usct.inversion.objective import Objective
from usct.inversion.schedule import Stage, continuation, with_misfits
from usct.medium import Medium
from usct.misfit.catalogue import BAND_NAMES, misfit_of
from usct.misfit.selection import select
from usct.phantom import Phantom
from usct.reconstruction import Status

BAND = (100e3, 120e3, 140e3, 160e3)
SPEEDS = (1440.0, 1680.0)


def fast_disc(excess: float, frequencies, snr_db: float | None = 40):
    """A disc of 36 mm that is faster than water by so much."""
    grid = Grid.covering(45e-3, 1e-3)
    distance = torch.linalg.vector_norm(grid.points() - torch.tensor([4e-3, -3e-3]), dim=-1)
    bump = torch.sigmoid((18e-3 - distance) / 1.5e-3)
    labels = (bump > 0.5).to(torch.int16)
    phantom = Phantom(Medium(grid, WATER + excess * bump * (bump > 1e-3)), labels, ("water", "tissue"))
    return api.simulate(phantom, TransducerArray.ring(32, RADIUS), frequencies, snr_db=snr_db, seed=2)


@pytest.fixture(scope="module")
def weak():
    return fast_disc(40.0, BAND)


@pytest.mark.parametrize("name", BAND_NAMES)
def test_gradients_of_bands_leave_a_second_order_remainder(weak, name):
    discretization = Discretization(5.0, SPEEDS, WATER, 8, storage=torch.complex128)
    band = Band.of(discretization, weak.array, SPEEDS, BAND[:3], 0.0)
    data = BandData.of(select(weak.data.at(torch.tensor(BAND[:3])), weak.array, 0.7, 0.0))
    objective = Objective([band], data, misfit_of(name, "transmit"), pixel_grid())
    start = objective.parameterization.vector()
    point, noise = objective.at(start), random_like(start.shape, 1, False)
    direction = point.gradient / point.gradient.norm() + noise / noise.norm()

    def value(parameters):
        return torch.tensor(objective.at(parameters).value, dtype=torch.float64)

    slope = point.gradient @ direction
    # Matching filters bend where a wave fades to the water level: the adaptive misfit is straight on shorter steps.
    first = (2e-4 if name == "adaptive" else 0.02) * point.value / float(slope)
    assert_taylor(value, start, direction, slope, start=first, n_halvings=5)
    assert objective.n_solves == 3 * 8


@pytest.mark.parametrize("name", ["normalised", "phase"])
def test_misfits_of_single_frequencies_make_images(scan, observed, name):
    stages = with_misfits(continuation((60e3, 90e3), 2, None, Stage((1.0,), n_inner=3)), (name,))
    result = inversion(scan.array, stages).run(observed)
    assert result.status is Status.FINISHED
    assert error(result.medium, scan.truth) < 0.45 * error(result.start, scan.truth)
    assert name in result.history[0].stage
