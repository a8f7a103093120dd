"""Small scans, phantoms and results, and foreign files made on the spot."""

import numpy as np
import pytest
import torch

from tests.io.io_helpers import MatlabWriter, write_v5, write_v73
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction, Record, Status

RADIUS = 0.05


@pytest.fixture
def ring_xy() -> np.ndarray:
    """Twelve elements on a ring of 50 mm, columns (x, y), not symmetric under exchange of x and y."""
    angle = 2 * np.pi * np.arange(12) / 12 + 0.1
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.fixture
def outgoing(ring_xy: np.ndarray) -> np.ndarray:
    """Waves exp(-ikr) in water at 0.1 MHz, with a random source weight per transmit, shape (tx, rx)."""
    rng = np.random.default_rng(0)
    distance = np.linalg.norm(ring_xy[:, None] - ring_xy[None], axis=-1)
    weights = rng.standard_normal(12) + 1j * rng.standard_normal(12)
    waves = np.exp(-2j * np.pi * 1e5 / 1500 * distance) / np.sqrt(distance + 1e-3)
    return weights[:, None] * waves


@pytest.fixture
def medium() -> Medium:
    rng = torch.Generator().manual_seed(1)
    grid = Grid((7, 9), 1e-3, (-3e-3, -4.5e-3))
    maps = [torch.rand(grid.shape, generator=rng, dtype=torch.float64) for _ in range(3)]
    return Medium(grid, 1450 + 100 * maps[0], 10 * maps[1], 900 + 200 * maps[2], 1.3, 5e5)


@pytest.fixture
def array(ring_xy: np.ndarray) -> TransducerArray:
    positions = torch.from_numpy(ring_xy[:, ::-1].copy())
    return TransducerArray(positions, torch.tensor([0, 3, 7]), torch.arange(12))


@pytest.fixture
def traces() -> Traces:
    values = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(2))
    values[1, 4] = 0
    return Traces.of(values, -1.3e-6, 1e7 / 3)


@pytest.fixture
def spectra() -> Spectra:
    rng = torch.Generator().manual_seed(3)
    values = torch.randn(2, 3, 12, generator=rng, dtype=torch.complex128)
    weights = torch.rand(2, 3, 12, generator=rng, dtype=torch.float64).round(decimals=1)
    return Spectra(values, torch.tensor([1e5, 1.7e5]), weights, damping=1234.5)


@pytest.fixture
def scan(array: TransducerArray, spectra: Spectra, medium: Medium) -> Acquisition:
    start = Medium.homogeneous(medium.grid, 1500.0)
    return Acquisition(array, spectra, 1482.3, medium, start, "a scan", {"who": "ünï"}, ("One note.",))


@pytest.fixture
def phantom(medium: Medium) -> Phantom:
    labels = (medium.sound_speed > 1500).to(torch.int16)
    return Phantom(medium, labels, ("water", "fat"), "breast", {"seed": "3"})


@pytest.fixture
def result(medium: Medium) -> Reconstruction:
    history = (
        Record("low", 2e5, 1, 0.5, 12.0, 1e-13, 1, 0.25, 0.03),
        Record("high", 3e5, 2, 0.1 / 3, 3.0, 2e-13, 2, 0.75),
    )
    start = Medium.homogeneous(medium.grid, 1500.0)
    region = medium.sound_speed > 1480
    return Reconstruction(
        medium, start, region, history, Status.FINISHED, "Done.", {"config": "a = 1\n" * 20_000, "seed": "1"}
    )


@pytest.fixture(params=["v5", "v7.3"])
def write_matlab(request: pytest.FixtureRequest) -> MatlabWriter:
    """Writers of MATLAB files, both versions."""
    return write_v5 if request.param == "v5" else write_v73


@pytest.fixture
def time_variables(ring_xy: np.ndarray) -> dict[str, np.ndarray]:
    """A time-domain scan in MATLAB's shapes: sample t of transmit i, receive j is 1000 i + 10 j + t + 1."""
    time, receive, transmit = np.meshgrid(np.arange(20), np.arange(12), np.arange(12), indexing="ij")
    data = (1000 * transmit + 10 * receive + time + 1).astype(np.float32)
    return {
        "full_dataset": data,
        "time": (np.arange(20) * 2e-7 - 1e-6)[None],
        "transducerPositionsXY": ring_xy.T,
    }


@pytest.fixture
def frequency_variables(ring_xy: np.ndarray, outgoing: np.ndarray) -> dict[str, np.ndarray]:
    """A frequency-domain scan in MATLAB's shapes, with a truth of 5 rows (y) and 7 columns (x)."""
    x, y = np.linspace(-0.06, 0.06, 7), np.linspace(-0.04, 0.04, 5)
    return {
        "REC_DATA": outgoing,
        "f": np.array([[1e5]]),
        "x_circ": ring_xy[:, :1].T,
        "y_circ": ring_xy[:, 1:].T,
        "x": x[None],
        "y": y[None],
        "C": 1500 + 100 * y[:, None] + 10 * x[None, :],
    }
