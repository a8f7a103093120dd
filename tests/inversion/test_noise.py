"""The noise of a simulated scan, told from its reciprocal pairs."""

import pytest

from tests.inversion.conftest import WATER, pixel_grid
from usct.forward.helmholtz import Helmholtz
from usct.grid import Grid
from usct.inversion.objective import Objective, Point
from usct.inversion.tailoring import reciprocity_noise
from usct.misfit.spectra import LeastSquares


def point(scan, observed, number: int, true_medium: bool) -> Point:
    """One frequency of the scan at its true medium, or in water."""
    medium = pixel_grid().fitted_to(scan.truth) if true_medium else pixel_grid()
    model = Helmholtz(Grid.covering(58e-3, 3.2e-3), scan.array, (1450.0, 1580.0), WATER, 8)
    data = observed.at(observed.frequencies[number : number + 1])
    objective = Objective([model], data, LeastSquares("transmit"), medium)
    return objective.at(objective.parameterization.vector())


def true_noise(scan, observed, number: int) -> float:
    """Variance of a real datum on the scale of the objective: 40 dB below the mean of all channels."""
    power = float(scan.data.values[number].abs().square().mean()) * 1e-4
    kept = (observed.weights[number] * observed.values[number].abs().square()).sum()
    return 0.5 * power / float(kept)


@pytest.mark.parametrize("number", [0, 1])
def test_the_noise_of_a_scan_is_found_at_the_true_medium(scan, observed, number):
    """Weights of 32 transmits, fitted to some 24 channels each, take a share of it."""
    found = reciprocity_noise(point(scan, observed, number, true_medium=True))
    assert found == pytest.approx(true_noise(scan, observed, number), rel=0.10)


@pytest.mark.parametrize("number", [0, 1])
def test_it_is_found_from_above_while_nearly_all_is_unexplained(scan, observed, number):
    """In water the misfit is tens of times the noise; what is not reciprocal of it are the weights' errors."""
    at, noise = point(scan, observed, number, true_medium=False), true_noise(scan, observed, number)
    misfit = at.value / float((observed.weights[number] > 0).sum())
    found = reciprocity_noise(at)
    assert misfit > 30 * noise
    assert found is not None
    assert noise < found < 1.5 * noise
