"""The native format gives back what was put in, to the bit, and lays it out as documented."""

import dataclasses
import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import usct.io
from tests.io.io_helpers import assert_same, unseal
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.errors import InputError
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import RESEARCH_USE_ONLY, CycleSkips, Reconstruction


def test_scan_of_spectra(scan: Acquisition, tmp_path: Path) -> None:
    usct.io.save(scan, tmp_path / "scan.h5")
    assert_same(usct.io.load(tmp_path / "scan.h5"), scan)


@pytest.mark.parametrize("kind", [torch.complex64, torch.complex128])
def test_complex_type_is_kept(scan: Acquisition, kind: torch.dtype, tmp_path: Path) -> None:
    assert isinstance(scan.data, Spectra)
    data = dataclasses.replace(scan.data, values=scan.data.values.to(kind))
    usct.io.save(dataclasses.replace(scan, data=data), tmp_path / "scan.h5")
    assert_same(usct.io.load(tmp_path / "scan.h5"), dataclasses.replace(scan, data=data))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int16])
def test_scan_of_traces(array: TransducerArray, traces: Traces, kind: torch.dtype, tmp_path: Path) -> None:
    values = (1000 * traces.values).to(kind)
    scan = Acquisition(array, dataclasses.replace(traces, values=values))
    usct.io.save(scan, tmp_path / "scan.anything")
    assert_same(usct.io.load(tmp_path / "scan.anything"), scan)


def test_a_water_shot_lies_beside_the_data(
    array: TransducerArray, traces: Traces, scan: Acquisition, tmp_path: Path
) -> None:
    path = tmp_path / "scan.h5"
    valid = traces.valid.clone()
    valid[2] = False
    shot = dataclasses.replace(traces, values=(1000 * traces.values.flip(0)).to(torch.int16), valid=valid)
    both = Acquisition(array, traces, title="disc", water=shot)
    usct.io.save(both, path)
    assert_same(usct.io.load(path), both)
    with h5py.File(path) as file:
        assert file["acquisition/reference"].shape == file["acquisition/data"].shape
    assert ("water shot", "in the same file") in usct.io.describe(path)
    alone = both.water_shot
    assert alone is not None
    assert (alone.title, alone.water, alone.array) == ("disc: water", None, array)
    assert torch.equal(alone.data.values, shot.values)
    spectra = dataclasses.replace(scan, water=dataclasses.replace(scan.data, values=2 * scan.data.values))
    usct.io.save(spectra, path)
    assert_same(usct.io.load(path), spectra)


def test_a_water_shot_that_was_recorded_otherwise_is_refused(
    array: TransducerArray, traces: Traces, scan: Acquisition, tmp_path: Path
) -> None:
    later = dataclasses.replace(traces, start_time=traces.start_time + 1e-6)
    for shot in (scan.data, later, dataclasses.replace(traces, values=traces.values[..., :-1])):
        with pytest.raises(ValueError, match="water shot must have the channels"):
            Acquisition(array, traces, water=shot)
    path = tmp_path / "scan.h5"
    usct.io.save(Acquisition(array, traces, water=traces), path)
    with h5py.File(path, "r+") as file:
        del file["acquisition/reference"]
        file["acquisition/reference"] = traces.values[:2].numpy()
    with pytest.raises(
        InputError, match=r"scan\.h5: /acquisition/reference holds .* keep it in a file of its own"
    ):
        usct.io.load(unseal(path))


def test_phantom(phantom: Phantom, tmp_path: Path) -> None:
    usct.io.save(phantom, tmp_path / "phantom.h5")
    assert_same(usct.io.load(tmp_path / "phantom.h5"), phantom)


def test_phantom_of_three_dimensions(tmp_path: Path) -> None:
    from usct.grid import Grid

    medium = Medium.homogeneous(Grid.centred((3, 4, 5), 1e-3), 1500.0)
    phantom = Phantom(medium, torch.zeros(3, 4, 5, dtype=torch.int16), ("water",))
    usct.io.save(phantom, tmp_path / "phantom.h5")
    assert_same(usct.io.load(tmp_path / "phantom.h5"), phantom)


def test_result(result: Reconstruction, tmp_path: Path) -> None:
    usct.io.save(result, tmp_path / "result.h5")
    assert_same(usct.io.load(tmp_path / "result.h5"), result)


def test_result_without_history(result: Reconstruction, tmp_path: Path) -> None:
    bare = dataclasses.replace(result, history=(), provenance={})
    usct.io.save(bare, tmp_path / "result.h5")
    assert_same(usct.io.load(tmp_path / "result.h5"), bare)


def test_result_layout(result: Reconstruction, tmp_path: Path) -> None:
    usct.io.save(result, tmp_path / "result.h5")
    with h5py.File(tmp_path / "result.h5") as file:
        assert (file.attrs["format"], file.attrs["format_version"]) == ("usct", "1.0")
        assert file.attrs["kind"] == "reconstruction"
        assert file.attrs["notice"] == RESEARCH_USE_ONLY
        assert json.loads(file.attrs["provenance"])["seed"] == "1"
        image = file["result/sound_speed"]
        assert image.shape == (7, 9)
        assert image.attrs["spacing"] == 1e-3
        assert image.attrs["origin"].tolist() == [-3e-3, -4.5e-3]
        assert image.attrs["units"] == "m/s"
        assert file["history/frequency"][()].tolist() == [2e5, 3e5]
        assert file["history/stage"][()].tolist() == [b"low", b"high"]
        assert file["initial/sound_speed"].shape == file["result/region"].shape == (7, 9)


def test_scan_layout(scan: Acquisition, tmp_path: Path) -> None:
    usct.io.save(scan, tmp_path / "scan.h5")
    with h5py.File(tmp_path / "scan.h5") as file:
        data = file["acquisition/data"]
        assert data.shape == (3, 12, 2)
        assert data.chunks == (1, 12, 2)
        assert data.fletcher32
        assert data.dtype == np.complex128
        assert np.array_equal(data[2, 5], scan.data.values[:, 2, 5].numpy())
        assert file["acquisition"].attrs["domain"] == "frequency"
        assert file["medium"].attrs["sound_speed"] == 1482.3


def test_scaled_integers_become_pascal(array: TransducerArray, traces: Traces, tmp_path: Path) -> None:
    counts = dataclasses.replace(traces, values=(1000 * traces.values).to(torch.int16))
    path = tmp_path / "scan.h5"
    usct.io.save(Acquisition(array, counts), path)
    with h5py.File(path, "r+") as file:
        file["acquisition/data"].attrs["scale_factor"] = 0.5
        assert file["acquisition/data"].compression == "gzip"
    loaded = usct.io.load(unseal(path))
    assert isinstance(loaded, Acquisition)
    assert torch.equal(loaded.data.values, counts.values.float() * 0.5)


def test_a_newer_major_version_is_refused(phantom: Phantom, tmp_path: Path) -> None:
    path = tmp_path / "phantom.h5"
    usct.io.save(phantom, path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = "2.0"
    with pytest.raises(InputError, match=r"phantom\.h5: format version 2\.0 .* update usct"):
        usct.io.load(unseal(path))


def test_a_newer_minor_version_is_read(phantom: Phantom, tmp_path: Path) -> None:
    path = tmp_path / "phantom.h5"
    usct.io.save(phantom, path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = "1.7"
    assert_same(usct.io.load(unseal(path)), phantom)


def test_missing_parts_are_named(result: Reconstruction, tmp_path: Path) -> None:
    path = tmp_path / "result.h5"
    usct.io.save(result, path)
    with h5py.File(path, "r+") as file:
        del file["result/region"]
    with pytest.raises(InputError, match="/result/region is missing"):
        usct.io.load(unseal(path))


def test_cycle_skips_of_a_result_come_back(result: Reconstruction, tmp_path: Path) -> None:
    skips = CycleSkips(2e5, 0.4, 0.3, 0.001, 0.002, 0.05, "300 kHz")
    usct.io.save(dataclasses.replace(result, skips=skips), tmp_path / "result.h5")
    found = usct.io.load(tmp_path / "result.h5")
    assert isinstance(found, Reconstruction)
    assert found.skips == skips
    assert [record.skipped for record in found.history] == [0.03, None]


def test_results_from_before_stages_were_looked_at_are_read(result: Reconstruction, tmp_path: Path) -> None:
    path, skips = tmp_path / "result.h5", CycleSkips(2e5, 0.4, 0.3, 0.001, 0.002)
    usct.io.save(dataclasses.replace(result, skips=skips), path)
    with h5py.File(path, "r+") as file:
        del (
            file["history/skipped"],
            file["cycle_skips"].attrs["stage"],
            file["cycle_skips"].attrs["stage_waves"],
        )
    found = usct.io.load(unseal(path))
    assert isinstance(found, Reconstruction)
    assert found.skips is not None
    assert (found.skips.stage, math.isnan(found.skips.stage_waves)) == ("", True)
    assert [record.skipped for record in found.history] == [None, None]
    assert [record.n_solves for record in found.history] == [1, 2]
