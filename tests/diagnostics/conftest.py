"""One tiny ring for every test of the diagnostics: a disc half fitted, seen through several representations."""

from collections.abc import Callable, Iterator

import pytest
import torch

from tests.helpers import random_like
from usct.acquisition import Spectra, TransducerArray
from usct.forward.helmholtz import Helmholtz
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.inversion.objective import Objective, Point
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares, SourceWeights
from usct.parameterization.base import Parameterization
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

WATER = 1500.0
BOUNDS = (1400.0, 1700.0)
FREQUENCIES = (60e3, 80e3)
IMAGE = Grid.covering(24e-3, 4e-3)
REGION = IMAGE.disc(22e-3)
ARRAY = TransducerArray.ring(14, 34e-3)
WAVES = tuple(Grid.covering(34e-3 + 3 * h, h) for h in (4.4e-3, 3.6e-3))
"""Another grid for each frequency, neither of them the image's."""


def bump(grid: Grid, height: float) -> Medium:
    """A soft disc in water."""
    distance = torch.linalg.vector_norm(grid.points() - torch.tensor([4e-3, -3e-3]), dim=-1)
    return Medium(grid, WATER + height * torch.sigmoid((11e-3 - distance) / 2.5e-3))


def models() -> tuple[Helmholtz, ...]:
    """A forward model for each frequency."""
    return tuple(Helmholtz(grid, ARRAY, (1450.0, 1580.0), WATER, 6) for grid in WAVES)


def observed() -> Spectra:
    """Data of the disc with per cent noise, weights that vary, and the transmits' neighbours muted."""
    values, weights = [], []
    for number, (model, frequency) in enumerate(zip(models(), FREQUENCIES, strict=True)):
        data = model.linearize(bump(model.grid, 60.0), frequency).data
        source = 1 + 0.3 * random_like((len(data), 1), 10 + number, True)
        noise = 0.01 * data.abs().mean() * random_like(data.shape, 20 + number, True)
        values.append(source * (data + noise))
        weights.append(
            (ARRAY.opening_angles() > 0.7) * (1 + 0.5 * random_like(data.shape, 30 + number, False).tanh())
        )
    return Spectra(torch.stack(values), torch.tensor(FREQUENCIES, dtype=torch.float64), torch.stack(weights))


def pixel() -> PixelGrid:
    """Pixels that stand at half the disc."""
    return PixelGrid(Medium.homogeneous(IMAGE, WATER), REGION, BOUNDS).fitted_to(bump(IMAGE, 30.0))


def tailored() -> TailoredGrid:
    """Kernel-tailored Fourier features that stand at half the disc."""
    spectrum = tailored_spectrum(2 * torch.pi * FREQUENCIES[1] / WATER)
    return TailoredGrid(bump(IMAGE, 30.0), REGION, BOUNDS, spectrum)


def fourier() -> FourierNetwork:
    """A Fourier-feature network about half the disc, its weights disturbed as after training."""
    network = FourierNetwork(
        bump(IMAGE, 30.0), REGION, BOUNDS, n_features=8, n_hidden=6, dtype=torch.float64, seed=1
    )
    return disturbed(network)


def siren() -> Siren:
    """A sinusoidal network about half the disc, its weights disturbed as after training."""
    network = Siren(
        bump(IMAGE, 30.0), REGION, BOUNDS, rescaled=True, n_hidden=8, n_layers=2, dtype=torch.float64
    )
    return disturbed(network)


def disturbed(network: Parameterization) -> Parameterization:
    """The network with other weights."""
    vector = network.vector()
    network.load(vector + 0.05 * (1 + vector.abs()) * random_like(vector.shape, 5, False))
    return network


FORMS: dict[str, Callable[[], Parameterization]] = {
    "pixel": pixel,
    "tailored": tailored,
    "fourier": fourier,
    "siren": siren,
}


@pytest.fixture(scope="session")
def point_of() -> Callable[..., Point]:
    """Makes the point of a representation by name; the same object for the same one."""
    data, known = observed(), {}

    def point(name: str = "pixel", source_weights: SourceWeights = "transmit") -> Point:
        if (name, source_weights) not in known:
            form = FORMS[name]()
            objective = Objective(models(), data, LeastSquares(source_weights), form)
            known[name, source_weights] = objective.at(form.vector())
        return known[name, source_weights]

    return point


@pytest.fixture(scope="session")
def point(point_of: Callable[..., Point]) -> Point:
    """The point of the pixels: two frequencies, mutes, source weights projected."""
    return point_of()


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    """Thousands of tiny operations: handing them to threads takes longer than doing them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with single_threaded_blas():
        yield
    torch.set_num_threads(before)
