"""What napari is given, without napari."""

import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from usct_napari import layers, reading

from tests.diagnosis_cases import make_diagnosis
from usct import io
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.errors import InputError
from usct.grid import Grid
from usct.io.glance import glance, is_readable
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction, Record, Status

GRID = Grid((30, 40), 2e-3, (-10e-3, -20e-3))


def medium() -> Medium:
    speed = torch.full(GRID.shape, 1500.0, dtype=torch.float64)
    speed[10:20, 12:25] = 1550.0
    return Medium(GRID, speed, attenuation=torch.full(GRID.shape, 5.0, dtype=torch.float64))


def traces_scan(n: int = 12, n_samples: int = 50) -> Acquisition:
    values = torch.randn(n, n, n_samples, generator=torch.Generator().manual_seed(0))
    values[3], values[:, 3] = 0, 0
    array = TransducerArray.ring(n, 0.05)
    return Acquisition(array, Traces.of(values, 1e-6, 2e6), 1490.0, truth=medium(), title="ring")


def opened(path):
    """By layer's name without the file's: (data, facts, type)."""
    reader = reading.get_reader(str(path))
    assert reader is not None
    return {
        facts["name"].removesuffix(f" · {path.stem}"): (data, facts, kind)
        for data, facts, kind in reader(str(path))
    }


def test_a_scan_opens_with_its_ring_its_traces_and_its_truth(tmp_path):
    scan, path = traces_scan(), tmp_path / "scan.h5"
    io.save(scan, path)
    found = opened(path)
    points, facts, kind = found["elements"]
    assert kind == "points"
    np.testing.assert_allclose(points, 1e3 * scan.array.positions.numpy())
    assert facts["features"]["index"].tolist() == list(range(12))
    assert np.flatnonzero(facts["features"]["dead"]).tolist() == [3]
    assert set(facts["features"]["role"]) == {"transmit and receive"}
    values, facts, _ = found["traces"]
    np.testing.assert_array_equal(values, scan.data.values.numpy())
    # Time is shown as the path through water, to the right of the ring.
    assert facts["scale"][2] == pytest.approx(1e3 * 1490.0 / 2e6)
    assert facts["translate"][2] > points[:, 1].max()
    truth, facts, _ = found["truth [m/s]"]
    np.testing.assert_allclose(truth, medium().sound_speed.numpy())
    assert facts["scale"] == (2.0, 2.0)
    assert facts["translate"] == pytest.approx((-10.0, -20.0))


def test_a_water_shot_in_the_file_lies_to_the_right_of_the_traces(tmp_path, monkeypatch):
    scan, path = traces_scan(), tmp_path / "scan.h5"
    shot = replace(scan.data, values=scan.data.values.flip(0))
    io.save(replace(scan, water=shot), path)
    for large in (reading.LARGE, 0):
        monkeypatch.setattr(reading, "LARGE", large)
        found = opened(path)
        values, facts, _ = found["water: traces"]
        np.testing.assert_array_equal(np.asarray(values), shot.values.numpy())
        data, of_the_scan, _ = found["traces"]
        ends = of_the_scan["translate"][2] + data.shape[2] * of_the_scan["scale"][2]
        assert facts["translate"][2] > ends
        assert facts["scale"] == of_the_scan["scale"]
        assert facts["metadata"]["usct"].quantity == "water_traces"
    frequencies = torch.tensor([2e5, 3e5])
    io.save(Acquisition(scan.array, scan.spectra(frequencies), 1490.0, water=scan.spectra(frequencies)), path)
    assert {"spectra [dB]", "water: spectra [dB]"} <= set(opened(path))


def test_every_layer_lies_in_one_frame_of_millimetres(tmp_path):
    path = tmp_path / "scan.h5"
    io.save(traces_scan(), path)
    for _, facts, _ in opened(path).values():
        assert facts["units"][-2:] == ("mm", "mm")
        assert facts["axis_labels"][-2:] == ("y", "x")
        assert facts["metadata"]["usct"].path == path


def test_large_traces_stay_in_their_file(tmp_path, monkeypatch):
    scan, path = traces_scan(), tmp_path / "scan.h5"
    io.save(scan, path)
    eager = opened(path)
    monkeypatch.setattr(reading, "LARGE", 0)
    lazy = opened(path)
    assert lazy.keys() == eager.keys()
    data = lazy["traces"][0]
    assert not isinstance(data, np.ndarray)
    np.testing.assert_array_equal(np.asarray(data[4]), scan.data.values[4].numpy())
    for name, (_, facts, _) in lazy.items():
        for key in ("scale", "translate", "contrast_limits"):
            if key in facts:
                assert facts[key] == pytest.approx(eager[name][1][key])


def test_a_glance_reads_scaled_integers_and_matlab_order(tmp_path):
    scan, native = traces_scan(), tmp_path / "scan.h5"
    stored = (1000 * scan.data.values).round().to(torch.int16)
    counts = Acquisition(scan.array, Traces.of(stored, 0.0, 2e6))
    io.save(counts, native)
    with h5py.File(native, "r+") as file:
        file["acquisition/data"].attrs["scale_factor"] = 0.5
    np.testing.assert_allclose(glance(native).traces[2], 0.5 * stored[2].numpy())
    foreign, values = tmp_path / "scan.mat", scan.data.values.numpy()
    with h5py.File(foreign, "w") as file:
        # MATLAB's (time, receive, transmit) appears in reverse in HDF5.
        file["full_dataset"], file["time"] = values, np.arange(50)[:, None] / 2e6
        file["transducerPositionsXY"] = scan.array.positions.numpy()[:, ::-1]
    seen, loaded = glance(foreign), io.load(foreign)
    np.testing.assert_array_equal(seen.traces[:], loaded.data.values.numpy())
    torch.testing.assert_close(seen.array.positions, loaded.array.positions)
    assert seen.sampling_frequency == pytest.approx(2e6)


def test_results_open_as_maps_with_units_and_history(tmp_path):
    path, record = tmp_path / "result.h5", Record("200 kHz", 2e5, 1, 0.1, 3.0, 1e-9, 2, 1.5)
    region = torch.ones(GRID.shape, dtype=torch.bool)
    start = Medium.homogeneous(GRID, 1500.0)
    io.save(Reconstruction(medium(), start, region, (record,), Status.FINISHED, "Done."), path)
    found = opened(path)
    assert set(found) == {"start [m/s]", "attenuation [dB/cm]", "sound speed [m/s]"}
    loss, facts, _ = found["attenuation [dB/cm]"]
    assert float(loss.max()) == pytest.approx(5.0 * 20 / math.log(10) / 100, rel=1e-6)
    assert facts["contrast_limits"] == (0.0, 1.0)
    _, facts, _ = found["sound speed [m/s]"]
    assert facts["contrast_limits"] == (1400.0, 1600.0)
    assert facts["metadata"]["history"]["objective"] == [0.1]
    assert list(facts["metadata"]["history"]["frequency [kHz]"]) == [200.0]


def test_a_diagnosis_opens_with_maps_rows_and_a_stack_of_modes(tmp_path):
    made, path = make_diagnosis(), tmp_path / "kernels.h5"
    io.save(made, path)
    found = opened(path)
    modes, facts, _ = found["patterns"]
    assert modes.shape == (12, *made.grid.shape)
    in_data, data_facts, _ = found["patterns in the data: transmits down, receives across"]
    # One slider of napari's moves both.
    assert facts["axis_labels"] == data_facts["axis_labels"]
    assert data_facts["scale"][0] == facts["scale"][0]
    assert data_facts["translate"][0] == facts["translate"][0]
    second = torch.cat(list(made.data_kernel.modes[1].real), dim=1)
    np.testing.assert_allclose(in_data[1], second / second.abs().max(), atol=1e-6)
    resolution = found["resolution [mm]"][0]
    np.testing.assert_allclose(np.nanmin(resolution), 1e3 * np.nanmin(made.resolution.numpy()), rtol=1e-5)
    assert found["answers at places"][0].shape == (2, *made.grid.shape)


def test_a_phantom_opens_with_named_tissues(tmp_path):
    path, labels = tmp_path / "phantom.h5", (medium().sound_speed > 1520).to(torch.int16)
    io.save(Phantom(medium(), labels, ("water", "lens")), path)
    values, facts, kind = opened(path)["tissues"]
    assert kind == "labels"
    assert facts["features"]["tissue"][values[15, 15]] == "lens"


def test_travel_times_open_as_a_picture_beside_the_ring(tmp_path):
    array, path = TransducerArray.ring(8, 0.05), tmp_path / "delays.mat"
    delays = 1e-7 * array.distances().numpy() / 0.05
    delays[:, 2] = delays[2] = np.nan
    scipy.io.savemat(path, {"delta_tof": delays, "element_positions": array.positions.numpy()[:, ::-1]})
    found = opened(path)
    np.testing.assert_allclose(found["delays [us]"][0], 1e6 * delays, rtol=1e-5)
    assert np.flatnonzero(found["elements"][1]["features"]["dead"]).tolist() == [2]
    # As 'usct pick' writes them.
    io.save(io.load(path), tmp_path / "delays.h5")
    assert opened(tmp_path / "delays.h5").keys() == found.keys()
    # Panels for scans leave these alone.
    assert {facts["metadata"]["usct"].kind for _, facts, _ in found.values()} == {"travel times"}


def test_files_of_other_programs_are_left_to_others(tmp_path):
    (tmp_path / "pictures").mkdir()
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["image"] = np.zeros((4, 4))
        file["data"] = np.zeros((4, 4))
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "empty.mat").write_bytes(b"")
    for name in ("foreign.h5", "text.h5", "empty.mat", "missing.h5", "pictures"):
        assert reading.get_reader(str(tmp_path / name)) is None
        assert not is_readable(tmp_path / name)


def test_a_damaged_scan_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "scan.h5"
    io.save(traces_scan(), path)
    content = bytearray(path.read_bytes())
    content[-200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.h5: its checksum does not match"):
        reading.read(str(path))


def test_a_glance_at_anything_else_is_no_scan(tmp_path):
    path = tmp_path / "kernels.h5"
    io.save(make_diagnosis(), path)
    assert glance(path) is None
    assert is_readable(path)
    assert layers.layers_of(io.load(path), path)
