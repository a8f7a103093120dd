"""Scans that are spread over files and groups: k-Wave's shots, stride's, UFF, lists of traces; files made here."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

import usct.io
from tests.io.io_helpers import write_v5, write_v73
from usct import cli
from usct.acquisition import Acquisition, Traces
from usct.errors import InputError
from usct.io.glance import is_readable

N_T = 40
STEP = 1e-7


def marked(n_tx: int, n_rx: int) -> np.ndarray:
    """Traces (tx, rx, time) whose value tells their place: 10000 tx + 100 rx + sample + 1."""
    tx, rx, sample = np.ix_(range(n_tx), range(n_rx), range(N_T))
    return (10000 * tx + 100 * rx + sample + 1).astype(np.float32)


def ring(count: int, radius: float = 0.1) -> np.ndarray:
    """Columns x, y [m]."""
    angle = 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def loaded(path: Path, *more: Path) -> tuple[Acquisition, Traces]:
    assert is_readable(path)
    scan = usct.io.load(path, *more)
    assert isinstance(scan, Acquisition)
    assert isinstance(scan.data, Traces)
    return scan, scan.data


def write_kwave(folder: Path) -> None:
    """Three shots on 12 x 10 nodes (x, y); the sources are sensor 2, sensor 0, and two nodes that are no sensor."""
    nodes = [(1, 1), (10, 2), (6, 8), (2, 7)]
    index = [1 + x + 12 * y for x, y in nodes]
    sources = [[nodes[2]], [nodes[0]], [(4, 4), (6, 4)]]
    speed = np.full((1, 10, 12), 1500, np.float32)
    speed[0, 5, 6] = 1540
    for number, source in enumerate(sources):
        with h5py.File(folder / f"shot{number}_input.h5", "w") as file:
            file.attrs["file_type"] = "input"
            for name, size in (("Nx", 12), ("Ny", 10), ("Nz", 1)):
                file[name] = np.full((1, 1, 1), size, np.uint64)
            for name in ("dx", "dy"):
                file[name] = np.full((1, 1, 1), 1e-3, np.float32)
            file["c0"] = speed
            file["rho0"] = np.full((1, 1, 1), 1000, np.float32)
            file["sensor_mask_index"] = np.array(index, np.uint64).reshape(1, 1, -1)
            file["p_source_index"] = np.array([1 + x + 12 * y for x, y in source], np.uint64).reshape(
                1, 1, -1
            )
        with h5py.File(folder / f"shot{number}_output.h5", "w") as file:
            file.attrs["file_type"] = "output"
            for name, size in (("Nx", 12), ("Ny", 10), ("Nz", 1), ("Nt", N_T)):
                file[name] = np.full((1, 1, 1), size, np.uint64)
            file["dt"] = np.full((1, 1, 1), STEP, np.float32)
            file["p"] = marked(3, 4)[number].T[np.newaxis]


def test_kwave_shots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_kwave(tmp_path)
    scan, traces = loaded(tmp_path)
    assert float(traces.values[2, 3, 7]) == 20308
    assert traces.sampling_frequency == pytest.approx(1e7)
    assert scan.array.transmits.tolist() == [2, 0, 4]
    assert scan.array.receives.tolist() == [0, 1, 2, 3]
    assert scan.array.positions[1].tolist() == pytest.approx([4.5e-3, -2.5e-3]), "k-Wave's x is y"
    assert scan.array.positions[4].tolist() == pytest.approx([-0.5e-3, -0.5e-3]), "the middle of two nodes"
    assert scan.truth is not None
    assert float(scan.truth.sound_speed[6, 5]) == 1540
    assert scan.water_sound_speed == 1500
    with pytest.raises(SystemExit) as end:
        cli.main(["convert", str(tmp_path), str(tmp_path / "scan.h5")])
    assert end.value.code == 0, capsys.readouterr().err
    assert torch.equal(loaded(tmp_path / "scan.h5")[1].values, traces.values)


def test_kwave_shots_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_kwave(tmp_path)
    with pytest.raises(InputError, match="one shot of k-Wave's; give the folder"):
        usct.io.load(tmp_path / "shot0_output.h5")
    with h5py.File(tmp_path / "shot1_output.h5", "r+") as file:
        file["dt"][...] = 2e-7
    with pytest.raises(InputError, match=r"shot1_output.h5: dt differs from that in shot0_output.h5"):
        usct.io.load(tmp_path)
    (tmp_path / "shot1_input.h5").unlink()
    with pytest.raises(InputError, match="3 outputs of k-Wave but 2 inputs"):
        usct.io.load(tmp_path)


def write_stride(folder: Path) -> Path:
    """Two shots; the second was not heard at location 12."""
    places = {10: (0.01, 0.02), 11: (0.03, 0.02), 12: (0.02, 0.05), 13: (0.0, 0.04)}
    with h5py.File(folder / "test-Geometry.h5", "w") as file:
        file.attrs["protocol"] = "0.1"
        for name, coordinates in places.items():
            group = file.create_group(f"locations/locations_{name:08d}")
            group["id"], group["transducer_id"], group["coordinates"] = (
                name,
                0,
                np.array(coordinates, np.float32),
            )
    path = folder / "test-Acquisitions.h5"
    with h5py.File(path, "w") as file:
        file.attrs["protocol"] = "0.1"
        file["num_shots"] = 2
        file["time/start"], file["time/step"], file["time/num"] = 0.0, STEP, N_T
        for number, (source, receivers) in enumerate([(11, [10, 11, 12, 13]), (10, [13, 10, 11])]):
            group = file.create_group(f"shots/shots_{number:08d}")
            group["id"], group["num_sources"], group["num_receivers"] = number, 1, len(receivers)
            group["source_ids"], group["receiver_ids"] = [source], receivers
            group["observed/data"] = marked(2, 4)[number][[name - 10 for name in receivers]]
    return path


def test_stride_shots(tmp_path: Path) -> None:
    scan, traces = loaded(write_stride(tmp_path))
    assert scan.array.positions[2].tolist() == pytest.approx([0.02, 0.05])
    assert scan.array.transmits.tolist() == [1, 0]
    assert float(traces.values[1, 3, 5]) == 10306
    assert traces.valid.tolist() == [[True] * 4, [True, True, False, True]]
    assert traces.sampling_frequency == pytest.approx(1e7)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "test-Geometry.h5").rename(moved / "ring.h5")
    with pytest.raises(InputError, match="no test-Geometry.h5 beside it; add --positions"):
        usct.io.load(tmp_path / "test-Acquisitions.h5")
    assert loaded(tmp_path / "test-Acquisitions.h5", moved / "ring.h5")[0].array.n_elements == 4


def test_stride_shots_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = write_stride(tmp_path)
    for name, value, sentence in (
        ("source_ids", [10, 11], "fires 2 sources"),
        ("receiver_ids", [10, 11, 99], "names location 99"),
        ("observed/data", None, "no observed traces"),
    ):
        write_stride(tmp_path)
        with h5py.File(path, "r+") as file:
            del file[f"shots/shots_00000001/{name}"]
            if value is not None:
                file[f"shots/shots_00000001/{name}"] = value
        with pytest.raises(InputError, match=sentence):
            usct.io.load(path)


def write_uff(path: Path) -> None:
    """Three waves of single elements of a ring in the plane of x and z, which is UFF's usual one."""
    x, z = ring(6).T
    with h5py.File(path, "w") as file:
        group = file.create_group("channel_data")
        group.attrs["class"] = "uff.channel_data"
        group["data"] = np.stack([marked(3, 6), -marked(3, 6)])
        group["sampling_frequency"], group["initial_time"] = np.full((1, 1), 4e6), np.full((1, 1), -1e-6)
        group["sound_speed"] = np.full((1, 1), 1490.0)
        group["probe/geometry"] = np.stack([x, 0 * x, z, *[0 * x] * 4])
        for number, element in enumerate((4, 0, 2)):
            wave = group.create_group(f"sequence/sequence_{number + 1:08d}")
            wave["source/distance"] = np.full((1, 1), 0.1)
            wave["source/azimuth"] = np.full((1, 1), np.arctan2(x[element], z[element]))
            wave["source/elevation"] = np.zeros((1, 1))
            wave["delay"] = np.full((1, 1), 3e-6)


def test_uff(tmp_path: Path) -> None:
    path = tmp_path / "scan.uff"
    write_uff(path)
    scan, traces = loaded(path)
    assert scan.array.positions.numpy() == pytest.approx(ring(6)[:, ::-1])
    assert scan.array.transmits.tolist() == [4, 0, 2]
    assert float(traces.values[2, 5, 7]) == 20508
    assert (traces.start_time, traces.sampling_frequency) == (pytest.approx(2e-6), 4e6)
    assert scan.water_sound_speed == 1490
    assert "The first of 2 frames was read." in scan.notes
    with h5py.File(path, "r+") as file:
        file["channel_data/sequence/sequence_00000002/source/distance"][...] = np.inf
    with pytest.raises(InputError, match="wave 1 starts from no element"):
        usct.io.load(path)


def write_list(folder: Path, write=write_v73, **more: np.ndarray) -> Path:
    """Three sources of eight elements, in disorder, with one pair missing; millimetres, headings, three separators."""
    pairs = [(tx, rx) for rx in (6, 1, 2) for tx in (4, 2, 8)][1:]
    traces = np.stack([marked(9, 9)[tx, rx] for tx, rx in pairs])
    xy = 1e3 * ring(8)
    lines = [f"{n + 1}, {x:.6f}; {y:.6f} {0.0}" for n, (x, y) in enumerate(xy)]
    (folder / "elementList.txt").write_text("EleID,x,y,z\n" + "\n".join(lines) + "\n", encoding="utf-8")
    order = np.random.default_rng(1).permutation(len(pairs))
    rows = [f"{number + 1}\t{pairs[number][0]}\t{pairs[number][1]}" for number in order]
    (folder / "elementRelas.txt").write_text("TraceID Src Rcv\n" + "\n".join(rows) + "\n\n", encoding="utf-8")
    return write(folder / "scan.mat", {"dataset": traces} | (more or {"fs": np.array([[4e6]])}))


@pytest.mark.parametrize("write", [write_v5, write_v73])
@pytest.mark.parametrize("whole", [True, False])
def test_lists_of_traces(tmp_path: Path, write, whole: bool) -> None:
    path = write_list(tmp_path, write)
    scan, traces = loaded(tmp_path if whole or write is write_v5 else path)
    assert scan.array.positions.numpy() == pytest.approx(ring(8)[:, ::-1], abs=1e-8)
    assert scan.array.transmits.tolist() == [1, 3, 7]
    assert scan.array.receives.tolist() == [0, 1, 5]
    assert float(traces.values[2, 1, 9]) == 10000 * 8 + 100 * 2 + 10
    assert traces.valid.tolist() == [[True] * 3, [True, True, False], [True] * 3]
    assert traces.sampling_frequency == 4e6
    assert any("millimetres" in note for note in scan.notes)


def test_lists_of_traces_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_list(tmp_path, delta=np.ones(1))
    with pytest.raises(InputError, match="does not tell its sampling; store fs"):
        usct.io.load(tmp_path)
    write_list(tmp_path, dt=np.array([[2.5e-7]]))
    assert loaded(tmp_path)[1].sampling_frequency == pytest.approx(4e6)
    write_list(tmp_path, time=2e-6 + 2.5e-7 * np.arange(N_T))
    assert loaded(tmp_path)[1].start_time == pytest.approx(2e-6)
    with (tmp_path / "elementRelas.txt").open("a", encoding="utf-8") as stream:
        stream.write("99 2 1\n")
    with pytest.raises(InputError, match="names trace 99"):
        usct.io.load(tmp_path)
    with (tmp_path / "elementRelas.txt").open("a", encoding="utf-8") as stream:
        stream.write("3 2 77\n")
    with pytest.raises(InputError, match="names element 77"):
        usct.io.load(tmp_path)
    write_v5(tmp_path / "water.mat", {"dataset": np.ones((2, 2))})
    with pytest.raises(InputError, match=r"one file of traces is expected and scan.mat, water.mat found"):
        usct.io.load(tmp_path)


def open_ust_variables(**more: object) -> dict[str, object]:
    """What an open-UST recording holds, 5 elements, traces from time zero."""
    settings = {"acqSamplingFrequency": 1 / STEP, "avgs": 1.0}
    values = marked(5, 5).astype(np.int16)
    return {"rcvData": values, "settings": settings, "temperature": np.array([[20.0]])} | more


def write_open_ust(folder: Path, version: str, variables: dict[str, object]) -> tuple[Path, Path]:
    """The recording and the file of the element positions, as MATLAB writes them."""
    scan, places = folder / "scan.mat", folder / "ideal_element_positions.mat"
    scipy.io.savemat(places, {"element_positions": ring(5)})
    if version == "v5":
        scipy.io.savemat(scan, variables)
        return scan, places
    numbers = {name: value for name, value in variables.items() if isinstance(value, np.ndarray)}
    write_v73(scan, numbers)
    with h5py.File(scan, "r+") as file:
        for name, value in variables.get("settings", {}).items():
            file[f"settings/{name}"] = np.array([[value]])
    return scan, places


@pytest.mark.parametrize("version", ["v5", "v7.3"])
def test_open_ust(version, tmp_path):
    path, places = write_open_ust(tmp_path, version, open_ust_variables())
    scan, traces = loaded(path, places)
    assert np.array_equal(traces.values.numpy(), marked(5, 5).astype(np.int16))
    assert (traces.start_time, traces.sampling_frequency) == (0.0, pytest.approx(1 / STEP))
    assert np.allclose(scan.array.positions.numpy(), ring(5)[:, ::-1])
    assert scan.water_sound_speed == pytest.approx(1482.3, abs=0.3)
    assert any("ideal_element_positions.mat" in note for note in scan.notes)
    with pytest.raises(SystemExit) as end:
        cli.main(["convert", str(path), str(tmp_path / "scan.h5"), "--positions", str(places)])
    assert end.value.code == 0
    assert torch.equal(loaded(tmp_path / "scan.h5")[1].values, traces.values)


@pytest.mark.parametrize("version", ["v5", "v7.3"])
@pytest.mark.parametrize(
    ("missing", "with_places", "sentence"),
    [
        (None, False, "rcvData without element positions; add --positions"),
        ("settings", True, "rcvData without settings.acqSamplingFrequency; store"),
    ],
)
def test_open_ust_needs_positions_and_sampling(version, missing, with_places, sentence, tmp_path):
    variables = {name: value for name, value in open_ust_variables().items() if name != missing}
    path, places = write_open_ust(tmp_path, version, variables)
    with pytest.raises(InputError, match=sentence):
        usct.io.load(path, places if with_places else None)


def test_an_unlikely_temperature_is_not_believed(tmp_path):
    path, places = write_open_ust(tmp_path, "v5", open_ust_variables(temperature=np.array([[293.0]])))
    assert loaded(path, places)[0].water_sound_speed is None


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_a_verasonics_buffer_is_refused_with_what_to_store(write, tmp_path):
    path = write(tmp_path / "buffer.mat", {"RcvData": np.zeros((40, 25), np.int16)})
    with pytest.raises(InputError, match=r"RcvData is a Verasonics buffer.*full_dataset"):
        usct.io.load(path)
