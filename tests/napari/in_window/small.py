"""Files small enough for tests: scans of a disc by a ring of a few elements."""

from pathlib import Path

import torch

from usct import io
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.api import simulate
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom


def phantom() -> Phantom:
    """A disc of 1540 m/s in water."""
    grid = Grid.covering(45e-3, 1e-3)
    inside = grid.disc(15e-3, (5e-3, 0.0))
    speed = torch.where(inside, 1540.0, 1500.0).double()
    return Phantom(Medium(grid, speed), inside.to(torch.int16), ("water", "lens"), "disc")


def spectra_file(folder: Path) -> Path:
    """Spectra of 24 elements at two frequencies."""
    path = folder / "disc.h5"
    io.save(simulate(phantom(), TransducerArray.ring(24, 40e-3), (1e5, 1.5e5), seed=1), path)
    return path


def traces_file(folder: Path) -> Path:
    """Pulses that travel through water alone, element 3 dead."""
    array, rate = TransducerArray.ring(16, 40e-3), 2e6
    times = torch.arange(200, dtype=torch.float64) / rate
    away = times - array.distances()[..., None] / 1500.0 - 10e-6
    values = torch.cos(2 * torch.pi * 2e5 * away) * torch.exp(-((away / 5e-6) ** 2))
    values = values + 1e-3 * torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    values[3], values[:, 3] = 0, 0
    path = folder / "pulses.h5"
    io.save(Acquisition(array, Traces.of(values.float(), 0.0, rate), 1500.0, truth=phantom().medium), path)
    return path
