"""`describe` tells the facts of each kind of file; `problems` is silent about good ones."""

from pathlib import Path

import usct.io
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction


def facts(path: Path) -> dict[str, str]:
    return dict(usct.io.describe(path))


def test_spectra(scan: Acquisition, tmp_path: Path) -> None:
    usct.io.save(scan, tmp_path / "scan.h5")
    found = facts(tmp_path / "scan.h5")
    assert found["format"] == "usct 1.0 (HDF5)"
    assert found["kind"] == "scan"
    assert found["elements"] == "12, 2-D"
    assert found["transmits x receives"] == "3 x 12"
    assert found["frequencies"] == "2: 100, 170 kHz"
    assert found["water"] == "1482.30 m/s"
    assert found["truth"].startswith("7 x 9 nodes of 1 mm")
    assert found["note"] == "One note."


def test_traces(array: TransducerArray, traces: Traces, tmp_path: Path) -> None:
    usct.io.save(Acquisition(array, traces), tmp_path / "scan.h5")
    found = facts(tmp_path / "scan.h5")
    assert found["samples"] == "40 of float32"
    assert found["sampling"] == "3.333 MHz"
    assert found["record"] == "-1.30 to 10.40 us"
    assert found["masked channels"] == "1 of 36"
    assert found["water"] == "unknown"
    assert usct.io.problems(tmp_path / "scan.h5") == []


def test_phantom(phantom: Phantom, tmp_path: Path) -> None:
    usct.io.save(phantom, tmp_path / "phantom.h5")
    found = facts(tmp_path / "phantom.h5")
    assert found["tissues"] == "water, fat"
    assert found["seed"] == "3"
    assert usct.io.problems(tmp_path / "phantom.h5") == []


def test_result(result: Reconstruction, tmp_path: Path) -> None:
    usct.io.save(result, tmp_path / "result.h5")
    found = facts(tmp_path / "result.h5")
    assert found["status"] == "Done."
    assert found["stages"] == "2, up to 300 kHz"
    assert found["iterations"] == "2"
    assert found["objective"] == "0.5 to 0.03333"
    assert "config" not in found
    assert usct.io.problems(tmp_path / "result.h5") == []
