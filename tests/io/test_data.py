"""Files that others made, where a machine has them."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import usct.io
from usct.acquisition import Acquisition, Spectra
from usct.io import channels
from usct.phantom.base import Phantom

pytestmark = pytest.mark.data


def third_party(name: str) -> Path:
    folder = os.environ.get("USCT_DATA")
    if not folder:
        pytest.skip("USCT_DATA does not name a folder of third-party data")
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f"USCT_DATA holds no {name}")
    return path


def _straight_travel_times(scan: Acquisition, sound_speed: torch.Tensor) -> torch.Tensor:
    """Travel times along straight rays of every eighth transmit, shape (tx, rx) [s]."""
    assert scan.truth is not None
    positions, grid = scan.array.positions, scan.truth.grid
    fractions = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    times = []
    for position in positions[::8]:
        points = position + fractions[None, :, None] * (positions[:, None] - position)
        row, column = grid.fractional_index(points).round().long().unbind(-1)
        times.append(
            (1 / sound_speed)[row, column].mean(1) * torch.linalg.vector_norm(positions - position, dim=1)
        )
    return torch.stack(times)


def test_recorded_ring_data() -> None:
    path = third_party("alighieri/RecordedData.mat")
    scan = usct.io.load(path)
    assert isinstance(scan, Acquisition)
    assert isinstance(scan.data, Spectra)
    assert scan.data.values.shape == (1, 256, 256)
    assert scan.data.frequencies.tolist() == [350e3]
    assert scan.array.radius == pytest.approx(0.11, rel=1e-3)
    assert scan.water_sound_speed is None
    assert scan.notes == ()
    assert scan.truth is not None
    assert scan.truth.grid.shape == (801, 801)
    assert usct.io.problems(path) == []
    positions = scan.array.positions.numpy()
    assert channels.phase_slope(scan.data.values[0].numpy(), 350e3, positions, positions) > 0.8


def test_the_truth_of_recorded_ring_data_is_turned_right() -> None:
    """Straight rays through the truth explain the phases best when axis 0 is y; the mirror image does not."""
    scan = usct.io.load(third_party("alighieri/RecordedData.mat"))
    assert isinstance(scan, Acquisition)
    assert scan.truth is not None
    assert isinstance(scan.data, Spectra)
    phases = torch.sgn(scan.data.values[0, ::8])
    far = scan.array.distances()[::8] > 0.12

    def coherence(sound_speed: torch.Tensor) -> float:
        turn = 2 * torch.pi * 350e3 * _straight_travel_times(scan, sound_speed)
        aligned = phases * torch.polar(torch.ones_like(turn), turn)
        return float(((aligned * far).sum(1).abs() / far.sum(1)).mean())

    speed = scan.truth.sound_speed
    assert coherence(speed) > 0.88
    for mirrored in (speed.T, speed.flip(0), speed.flip(1)):
        assert coherence(mirrored) < 0.82


def test_stride_breast() -> None:
    path = third_party("stride/anastasio2D-TrueModel.h5")
    phantom = usct.io.load(path)
    assert isinstance(phantom, Phantom)
    with h5py.File(path) as file:
        assert np.array_equal(phantom.medium.sound_speed.numpy(), file["data"][()])
    assert phantom.medium.grid.spacing == 5e-4
    assert float((phantom.labels == 0).double().mean()) == pytest.approx(0.6636, abs=1e-3)
    assert usct.io.problems(path) == []
