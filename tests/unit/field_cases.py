"""One small field of each kind, and what their tests share."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.func import functional_call

from tests.helpers import random_like
from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.field import Field
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import RadialSpectrum, Tailoring, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

GRID = Grid.centred((25, 21), 1e-3)
FINER = Grid.centred((49, 41), 0.5e-3)
OTHER = Grid.centred((19, 23), 1.1e-3)
REGION = GRID.disc(9e-3)
BOUNDS = (1400.0, 1650.0)
START = Medium.homogeneous(GRID, 1500.0)
NYQUIST = math.pi / GRID.spacing
DOUBLE = torch.float64


def tailored_grid(seed: int = 0, dtype: torch.dtype = DOUBLE) -> TailoredGrid:  # noqa: ARG001 # it has none
    return TailoredGrid(START, REGION, BOUNDS, tailored_spectrum(600.0))


def gaussian(seed: int = 0, dtype: torch.dtype = DOUBLE) -> FourierNetwork:
    return FourierNetwork(START, REGION, BOUNDS, n_features=24, n_hidden=12, seed=seed, dtype=dtype)


def adaptive(seed: int = 0, dtype: torch.dtype = DOUBLE) -> FourierNetwork:
    return FourierNetwork(
        START, REGION, BOUNDS, "tailored", n_features=24, n_hidden=12, adaptive=True, seed=seed, dtype=dtype
    )


def siren(seed: int = 0, dtype: torch.dtype = DOUBLE) -> Siren:
    return Siren(START, REGION, BOUNDS, n_hidden=12, seed=seed, dtype=dtype)


def rescaled_siren(seed: int = 0, dtype: torch.dtype = DOUBLE) -> Siren:
    return Siren(START, REGION, BOUNDS, rescaled=True, n_hidden=12, n_layers=2, seed=seed, dtype=dtype)


def multigrid(seed: int = 0, dtype: torch.dtype = DOUBLE) -> MultiGrid:
    return MultiGrid(START, REGION, BOUNDS, 8e-3, 2e-3, n_levels=3, n_hidden=12, seed=seed, dtype=dtype)


def hashed(seed: int = 0, dtype: torch.dtype = DOUBLE) -> MultiGrid:
    return MultiGrid(
        START, REGION, BOUNDS, 8e-3, 2e-3, 3, interpolation="smooth", table_size=100, seed=seed, dtype=dtype
    )


def hybrid(seed: int = 0, dtype: torch.dtype = DOUBLE) -> Hybrid:
    return Hybrid(START, REGION, BOUNDS, n_levels=3, n_sines=12, n_hidden=12, seed=seed, dtype=dtype)


NETWORKS = (gaussian, adaptive, siren, rescaled_siren, multigrid, hashed, hybrid)
every_field = pytest.mark.parametrize("make", (tailored_grid, *NETWORKS))
every_network = pytest.mark.parametrize("make", NETWORKS)

Maker = Callable[..., Field]


def disturbed(field: Field, seed: int = 5, size: float = 0.15) -> Field:
    """The field with other parameters, as after training."""
    vector = field.vector()
    field.load(vector + size * (1 + vector.abs()) * random_like(vector.shape, seed, False).to(vector))
    return field


def speed(field: Field, grid: Grid = GRID) -> torch.Tensor:
    with torch.no_grad():
        return field(grid).sound_speed


def of_vector(field: Field, grid: Grid) -> Callable[[torch.Tensor], torch.Tensor]:
    """Sound speed on a grid as a function of the flattened parameters [m/s]."""

    def function(vector: torch.Tensor) -> torch.Tensor:
        return functional_call(field, field.named(vector), (grid,)).sound_speed.reshape(-1)

    return function


def blob(grid: Grid) -> Medium:
    """A smooth object within the linear part of the bounds."""
    squared = (grid.points() - torch.tensor([2e-3, -1e-3])).square().sum(dim=-1)
    return Medium(grid, 1500.0 + 60.0 * torch.exp(-squared / (2 * 4e-3**2)))


def tailoring(highest: float = 0.45 * NYQUIST, decay: float = 300.0) -> Tailoring:
    wavenumbers = torch.linspace(0, highest, 40, dtype=DOUBLE)
    gain = RadialSpectrum(wavenumbers, 1 / (1 + wavenumbers / 200.0))
    prior = RadialSpectrum(wavenumbers, torch.exp(-wavenumbers / decay))
    return Tailoring(gain, prior, 0.2)
