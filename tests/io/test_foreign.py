"""Files of other programs: axis order, units, signs, orientation, and what had to be changed."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import usct.io
from tests.io.io_helpers import MatlabWriter
from usct.acquisition import Acquisition, Spectra, Traces
from usct.errors import InputError
from usct.io.glance import is_readable
from usct.phantom.base import Phantom
from usct.units import attenuation_from_db

Variables = dict[str, np.ndarray]


def load_scan(path: Path) -> Acquisition:
    assert is_readable(path)
    scan = usct.io.load(path)
    assert isinstance(scan, Acquisition)
    return scan


def test_traces(
    write_matlab: MatlabWriter, time_variables: Variables, ring_xy: np.ndarray, tmp_path: Path
) -> None:
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert isinstance(scan.data, Traces)
    assert scan.data.values.shape == (12, 12, 20)
    assert scan.data.values.dtype == torch.float32
    assert float(scan.data.values[3, 5, 7]) == 3058.0
    assert scan.data.start_time == pytest.approx(-1e-6)
    assert scan.data.sampling_frequency == pytest.approx(5e6)
    assert np.array_equal(scan.array.positions.numpy(), ring_xy[:, ::-1])
    assert scan.notes == ()
    assert scan.water_sound_speed is None
    assert usct.io.problems(tmp_path / "scan.mat") == []


def test_integer_traces_stay_integers(
    write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path
) -> None:
    time_variables["full_dataset"] = time_variables["full_dataset"].astype(np.int16)
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert scan.data.values.dtype == torch.int16
    assert int(scan.data.values[3, 5, 7]) == 3058


def test_a_water_shot_beside_the_data_is_read(
    write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path
) -> None:
    time_variables["water_dataset"] = -time_variables["full_dataset"]
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert torch.equal(scan.water.values, -scan.data.values)
    assert scan.notes == ()
    time_variables["water_dataset"] = time_variables["full_dataset"][1:]
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert scan.water is None
    assert "water_dataset was left out" in scan.notes[0]


@pytest.mark.parametrize(
    ("order", "name"), [((2, 1, 0), "transmit, receive, time"), ((2, 0, 1), "transmit, time")]
)
def test_other_axis_orders_are_told_by_their_sizes(
    write_matlab: MatlabWriter, time_variables: Variables, order: tuple[int, ...], name: str, tmp_path: Path
) -> None:
    time_variables["full_dataset"] = time_variables["full_dataset"].transpose(order)
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert float(scan.data.values[3, 5, 7]) == 3058.0
    assert len(scan.notes) == 1
    assert name in scan.notes[0]


def test_transposed_positions(
    write_matlab: MatlabWriter, time_variables: Variables, ring_xy: np.ndarray, tmp_path: Path
) -> None:
    time_variables["transducerPositionsXY"] = ring_xy
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert np.array_equal(scan.array.positions.numpy(), ring_xy[:, ::-1])
    assert "transposed" in scan.notes[0]


def test_simulations_bring_their_truth(
    write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path
) -> None:
    x, y = np.linspace(-3e-3, 3e-3, 7), np.linspace(-1e-3, 2e-3, 4)
    truth = 1500 + 1000 * y[:, None] + 2000 * x[None]
    time_variables |= {"xi_orig": x[None], "yi_orig": y[None], "C": truth, "atten": np.full((4, 7), 0.5)}
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    assert scan.truth is not None
    assert scan.truth.grid.shape == (4, 7)
    assert scan.truth.grid.spacing == pytest.approx(1e-3)
    assert scan.truth.grid.origin == (-1e-3, -3e-3)
    assert np.array_equal(scan.truth.sound_speed.numpy(), truth)
    assert scan.truth.attenuation is not None
    assert float(scan.truth.attenuation[0, 0]) == pytest.approx(attenuation_from_db(0.5))


def test_spectra(
    write_matlab: MatlabWriter, frequency_variables: Variables, outgoing: np.ndarray, tmp_path: Path
) -> None:
    scan = load_scan(write_matlab(tmp_path / "scan.mat", frequency_variables))
    assert isinstance(scan.data, Spectra)
    assert scan.data.frequencies.tolist() == [1e5]
    assert np.array_equal(scan.data.values[0].numpy(), outgoing)
    assert scan.notes == ()
    assert scan.truth is not None
    points = scan.truth.grid.points()
    expected = 1500 + 100 * points[..., 0] + 10 * points[..., 1]
    assert torch.allclose(scan.truth.sound_speed, expected, rtol=0, atol=1e-9)
    assert usct.io.problems(tmp_path / "scan.mat") == []


@pytest.mark.parametrize("first", [False, True])
def test_several_frequencies(
    write_matlab: MatlabWriter,
    frequency_variables: Variables,
    outgoing: np.ndarray,
    first: bool,
    tmp_path: Path,
) -> None:
    stack = np.stack([outgoing, 2 * outgoing], axis=0 if first else 2)
    frequency_variables |= {"REC_DATA": stack, "f": np.array([[1e5, 2e5]])}
    scan = load_scan(write_matlab(tmp_path / "scan.mat", frequency_variables))
    assert np.array_equal(scan.data.values[1].numpy(), 2 * outgoing)
    assert len(scan.notes) == int(first)


def test_conjugated_spectra_are_turned(
    write_matlab: MatlabWriter, frequency_variables: Variables, outgoing: np.ndarray, tmp_path: Path
) -> None:
    frequency_variables["REC_DATA"] = outgoing.conj()
    scan = load_scan(write_matlab(tmp_path / "scan.mat", frequency_variables))
    assert np.array_equal(scan.data.values[0].numpy(), outgoing)
    assert "conjugated" in scan.notes[0]


def test_receive_first_spectra_are_transposed(
    write_matlab: MatlabWriter, frequency_variables: Variables, outgoing: np.ndarray, tmp_path: Path
) -> None:
    frequency_variables["REC_DATA"] = outgoing.T
    scan = load_scan(write_matlab(tmp_path / "scan.mat", frequency_variables))
    assert np.array_equal(scan.data.values[0].numpy(), outgoing)
    assert "(receive, transmit)" in scan.notes[0]


def test_spectra_that_follow_no_wave_are_noted(
    write_matlab: MatlabWriter, frequency_variables: Variables, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    frequency_variables["REC_DATA"] = rng.standard_normal((12, 12)) + 1j * rng.standard_normal((12, 12))
    scan = load_scan(write_matlab(tmp_path / "scan.mat", frequency_variables))
    assert "exp(-ikr) was assumed" in scan.notes[-1]


def test_a_truth_that_does_not_fit_is_left_out(
    write_matlab: MatlabWriter, frequency_variables: Variables, tmp_path: Path
) -> None:
    frequency_variables["C"] = np.full((3, 3), 1500.0)
    scan = load_scan(write_matlab(tmp_path / "scan.mat", frequency_variables))
    assert scan.truth is None
    assert "C was left out" in scan.notes[-1]


def test_nan_and_dead_channels_are_masked_and_listed(
    write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path
) -> None:
    data = time_variables["full_dataset"]
    data[:, 5, 3] = 0
    data[4, 6, 2] = np.nan
    data[:, 9, :] = 0
    data[:, :, 7] = 0
    path = write_matlab(tmp_path / "scan.mat", time_variables)
    scan = load_scan(path)
    assert isinstance(scan.data, Traces)
    assert not scan.data.valid[3, 5]
    assert not scan.data.valid[2, 6]
    assert not scan.data.valid[:, 9].any()
    assert not scan.data.valid[7].any()
    assert int((~scan.data.valid).sum()) == 2 + 12 + 12 - 1
    assert torch.isfinite(scan.data.values).all()
    assert scan.notes == (
        "Masked every transmit channel of element 7, because all are zero.",
        "Masked every receive channel of element 9, because all are zero.",
        "Masked 1 channel with NaN or infinite samples (transmit-receive 2-6).",
        "Masked 1 channel with nothing but zeros (transmit-receive 3-5).",
    )
    assert usct.io.problems(path) == [f"{path}: {note}" for note in scan.notes]


def test_self_channels_of_zero_are_no_fault(
    write_matlab: MatlabWriter, frequency_variables: Variables, tmp_path: Path
) -> None:
    np.fill_diagonal(frequency_variables["REC_DATA"], 0)
    path = write_matlab(tmp_path / "scan.mat", frequency_variables)
    scan = load_scan(path)
    assert isinstance(scan.data, Spectra)
    assert torch.equal(scan.data.weights[0], 1 - torch.eye(12, dtype=torch.float64))
    assert usct.io.problems(path) == []
    assert "hears itself" in scan.notes[0]


def test_conversion_keeps_the_scan(
    write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path
) -> None:
    time_variables["full_dataset"][0, 3, 2] = np.inf
    scan = load_scan(write_matlab(tmp_path / "scan.mat", time_variables))
    usct.io.save(scan, tmp_path / "scan.h5")
    again = load_scan(tmp_path / "scan.h5")
    assert torch.equal(again.data.values, scan.data.values)
    assert again.notes == scan.notes
    assert usct.io.problems(tmp_path / "scan.h5") == []


def test_stride_model(tmp_path: Path) -> None:
    speed = np.full((6, 8), 1500, dtype=np.float32)
    speed[2:4, 3:5] = 1460
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["protocol"] = "0.1"
        file["data"] = speed
        file["space/spacing"] = [5e-4, 5e-4]
        file["dtype"] = "float32"
    phantom = usct.io.load(tmp_path / "model.h5")
    assert isinstance(phantom, Phantom)
    assert phantom.medium.grid.shape == (6, 8)
    assert phantom.medium.grid.spacing == 5e-4
    assert phantom.medium.grid.origin == pytest.approx((-1.25e-3, -1.75e-3))
    assert np.array_equal(phantom.medium.sound_speed.numpy(), speed)
    assert np.array_equal(phantom.labels.numpy(), speed == 1460)


@pytest.mark.parametrize("spacing_at", ["dataset", "attribute", "axes"])
def test_sound_speed_map(spacing_at: str, tmp_path: Path) -> None:
    speed = 1500 + np.arange(12.0).reshape(3, 4)
    with h5py.File(tmp_path / "map.h5", "w") as file:
        file["sound_speed"] = speed
        if spacing_at == "dataset":
            file["spacing"] = 1e-3
        elif spacing_at == "attribute":
            file["sound_speed"].attrs["spacing"] = 1e-3
        else:
            file["x"], file["y"] = 1e-3 * np.arange(4), 1e-3 * np.arange(3)
    phantom = usct.io.load(tmp_path / "map.h5")
    assert isinstance(phantom, Phantom)
    assert np.array_equal(phantom.medium.sound_speed.numpy(), speed)
    assert phantom.medium.grid.spacing == pytest.approx(1e-3)


def test_falling_axes_are_reversed(write_matlab: MatlabWriter, tmp_path: Path) -> None:
    speed = 1500 + np.arange(12.0).reshape(3, 4)
    variables = {"C": speed, "x": 1e-3 * np.arange(4)[None], "y": -1e-3 * np.arange(3)[None]}
    phantom = usct.io.load(write_matlab(tmp_path / "map.mat", variables))
    assert isinstance(phantom, Phantom)
    assert phantom.medium.grid.origin == (-2e-3, 0.0)
    assert np.array_equal(phantom.medium.sound_speed.numpy(), speed[::-1])


def test_a_map_without_spacing_is_refused(write_matlab: MatlabWriter, tmp_path: Path) -> None:
    path = write_matlab(tmp_path / "map.mat", {"C": np.full((3, 4), 1500.0)})
    with pytest.raises(InputError, match=r"map\.mat: the map C has no spacing; store its axes"):
        usct.io.load(path)
