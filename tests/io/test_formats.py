"""zea and k-Wave: files of the same layout, made here."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import usct.io
from usct.acquisition import Acquisition, Traces
from usct.errors import InputError
from usct.phantom.base import Phantom
from usct.units import attenuation_from_db

N_TX, N_EL, N_T = 3, 6, 20


def write_zea(path: Path, upright: bool = False, tracks: bool = False) -> np.ndarray:
    """Raw data whose value tells its place: 10000 tx + 100 element + sample."""
    angle = 2 * np.pi * np.arange(N_EL) / N_EL
    x, y = 0.1 * np.cos(angle), 0.1 * np.sin(angle)
    geometry = np.stack([x, 0 * x, y] if upright else [x, y, 0 * x], axis=1)
    tx, sample, element = np.ix_(range(N_TX), range(N_T), range(N_EL))
    apodizations = np.zeros((N_TX, N_EL), np.float32)
    apodizations[range(N_TX), [4, 0, 2]] = 1
    with h5py.File(path, "w") as file:
        root = file.create_group("tracks/track_0") if tracks else file
        raw = (10000 * tx + 100 * element + sample + 1).astype(np.float32)
        root["data/raw_data"] = np.stack([raw, -raw])[..., np.newaxis]
        root["probe/probe_geometry" if tracks else "scan/probe_geometry"] = geometry
        root["scan/sampling_frequency"] = np.float32(4e6)
        root["scan/initial_times"] = np.full(N_TX, -2e-6)
        root["scan/t0_delays"] = np.zeros((N_TX, N_EL))
        root["scan/tx_apodizations"] = apodizations
        root["scan/sound_speed"] = np.float32(1490)
    return np.stack([y, x], axis=1)


@pytest.mark.parametrize(("upright", "tracks"), [(False, False), (True, True)])
def test_zea(upright: bool, tracks: bool, tmp_path: Path) -> None:
    positions = write_zea(tmp_path / "scan.hdf5", upright, tracks)
    scan = usct.io.load(tmp_path / "scan.hdf5")
    assert isinstance(scan, Acquisition)
    assert isinstance(scan.data, Traces)
    assert scan.array.positions.numpy() == pytest.approx(positions)
    assert scan.array.transmits.tolist() == [4, 0, 2]
    assert float(scan.data.values[2, 5, 7]) == 20508
    assert (scan.data.start_time, scan.data.sampling_frequency) == (pytest.approx(-2e-6), 4e6)
    assert scan.water_sound_speed == 1490
    assert "The first of 2 frames was read." in scan.notes


def test_zea_of_another_kind_of_scan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.hdf5"
    for name, value, sentence in (
        ("tx_apodizations", np.ones((N_TX, N_EL)), "transmit 0 fires 6 elements"),
        ("initial_times", np.arange(N_TX) * 1e-6, "transmits start 2e-06 s apart"),
        ("probe_geometry", np.ones((N_EL, 2)), r"probe_geometry has the shape \(6, 2\)"),
    ):
        write_zea(path)
        with h5py.File(path, "r+") as file:
            del file[f"scan/{name}"]
            file[f"scan/{name}"] = value
        with pytest.raises(InputError, match=sentence):
            usct.io.load(path)


def test_kwave_medium(tmp_path: Path) -> None:
    rows, columns = 4, 5
    speed = np.full((rows, columns), 1500.0)
    speed[1, 3] = 1540.0
    with h5py.File(tmp_path / "in.h5", "w") as file:
        for name, size in (("Nx", rows), ("Ny", columns), ("Nz", 1)):
            file[name] = np.full((1, 1, 1), size, np.uint64)
        for name in ("dx", "dy", "dz"):
            file[name] = np.full((1, 1, 1), 2e-4, np.float32)
        file["c0"] = speed.T[np.newaxis].astype(np.float32)
        file["rho0"] = np.full((1, 1, 1), 1000, np.float32)
        file["alpha_coeff"] = np.full((1, 1, 1), 0.75, np.float32)
        file["alpha_power"] = np.full((1, 1, 1), 1.5, np.float32)
    phantom = usct.io.load(tmp_path / "in.h5")
    assert isinstance(phantom, Phantom)
    assert np.array_equal(phantom.medium.sound_speed.numpy(), speed)
    assert phantom.medium.grid.spacing == pytest.approx(2e-4)
    assert phantom.medium.attenuation_power == 1.5
    assert phantom.medium.attenuation is not None
    assert float(phantom.medium.attenuation[0, 0]) == pytest.approx(attenuation_from_db(0.75))
    assert phantom.medium.density is not None
    assert float(phantom.medium.density[2, 2]) == 1000
    with h5py.File(tmp_path / "in.h5", "r+") as file:
        file["dy"][...] = 3e-4
    with pytest.raises(InputError, match="resample to square"):
        usct.io.load(tmp_path / "in.h5")
