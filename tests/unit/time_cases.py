"""Small simulations that the unit tests of the time-domain engine share."""

import torch

from tests.helpers import random_like
from usct.acquisition import TransducerArray
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

BAND = (150e3, 300e3)


def simulation(n_dims=2, n_steps=60, **settings):
    """A few elements in a few cells, with a record of so many steps."""
    grid = Grid.centred((14, 11, 12)[3 - n_dims :], 1e-3)
    places = torch.tensor([[-3.3, 1.2, 0.2], [2.1, -1.7, -1.9], [3.4, 0.9, 1.4]], dtype=torch.float64)
    positions = 1e-3 * places[:, 3 - n_dims :]
    index = torch.arange(3)
    array = TransducerArray(positions, index[:2], index)
    settings = {"dtype": torch.float64, "time_step": 1.5e-7, "executor": "compiled"} | settings
    probe = Simulation(grid, array, BAND, duration=1e-9, **settings)
    duration = n_steps * probe.step - 2 * probe.drive.delay
    return Simulation(grid, array, BAND, duration=max(duration, 1e-9), **settings)


def rough_medium(grid, kind="lossy", seed=0):
    """Random maps: `uniform` in density, `dense`, or `lossy` as well."""
    speed, loss, dense = (random_like(grid.shape, seed + n, False).clamp(-2, 2) for n in range(3))
    return Medium(
        grid,
        1500 + 40 * speed,
        10 + 4 * loss if kind == "lossy" else None,
        None if kind == "uniform" else 1000 + 40 * dense,
        1.3,
        250e3,
    )
