"""Diagnoses in files: back to the bit, with units, told by `describe`, refused where damaged; curves as CSV."""

import csv
import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import usct.io
from tests.diagnosis_cases import GRID, make_diagnosis
from tests.io.io_helpers import assert_same, unseal
from usct.diagnosis import Diagnosis
from usct.errors import InputError
from usct.io.kernel_tables import write_csv


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    return make_diagnosis()


@pytest.fixture
def path(diagnosis: Diagnosis, tmp_path: Path) -> Path:
    usct.io.save(diagnosis, tmp_path / "kernels.h5")
    return tmp_path / "kernels.h5"


def comparable(diagnosis: Diagnosis) -> Diagnosis:
    """The same with a number in place of NaN, which equals nothing."""
    maps = {name: getattr(diagnosis, name).nan_to_num(-1.0) for name in ("resolution", "standard_deviation")}
    return dataclasses.replace(diagnosis, **maps)


def test_comes_back_to_the_bit(path: Path, diagnosis: Diagnosis) -> None:
    back = usct.io.load(path)
    assert isinstance(back, Diagnosis)
    assert_same(comparable(back), comparable(diagnosis))
    assert torch.equal(torch.isnan(back.resolution), ~diagnosis.region)


def test_what_was_not_looked_for_stays_unknown(diagnosis: Diagnosis, tmp_path: Path) -> None:
    less = dataclasses.replace(diagnosis, decay=None, resolution=None, standard_deviation=None, drift=None)
    usct.io.save(less, tmp_path / "kernels.h5")
    assert_same(usct.io.load(tmp_path / "kernels.h5"), less)


def test_layout_and_units_are_as_documented(path: Path, diagnosis: Diagnosis) -> None:
    units = {
        "wtk/eigenvalues": "1",
        "wtk/errors": "1",
        "wtk/modes": "1",
        "wtk/density/nodes": "1",
        "nsk/modes": "1",
        "nsk/transfer": "1",
        "nsk/wavenumber": "rad/m",
        "resolution": "m",
        "uncertainty": "m/s",
        "image/sound_speed": "m/s",
        "decay/predicted": "1",
        "decay/measured": "1",
        "drift/updates": "1",
        "drift/total": "1",
        "frequencies": "Hz",
    }
    with h5py.File(path) as file:
        assert {name: file[name].attrs["units"] for name in units} == units
        assert file["wtk/modes"].attrs["dims"] == "mode, freq, tx, rx"
        assert file["resolution"].attrs["spacing"] == GRID.spacing
        assert tuple(file["uncertainty"].attrs["origin"]) == GRID.origin
        assert file["wtk"].attrs["effective_rank"] == diagnosis.data_kernel.effective_rank
        assert file.attrs["kind"] == "diagnosis"


def test_info_says_what_the_data_support(path: Path, diagnosis: Diagnosis) -> None:
    rows = usct.io.describe(path)
    assert [text for name, text in rows if name == "finding"] == list(diagnosis.summary)
    found = dict(rows)
    assert found["kind"].startswith("diagnosis")
    assert found["frequencies"] == "300 kHz"
    assert found["noise"] == "40.0 dB below the data"
    assert found["determined"] == "about 433.5 numbers"
    assert found["maps"] == "45 x 51 nodes of 2 mm"
    assert found["result"] == "result.h5"
    assert usct.io.problems(path) == []


def test_a_failed_write_leaves_what_was_there(path: Path, diagnosis: Diagnosis, monkeypatch) -> None:
    from usct.io import native_kernels

    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native_kernels, "_write_image_kernel", full)
    with pytest.raises(InputError, match=r"No space left.*unchanged"):
        usct.io.save(diagnosis, path)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def _without(name: str):
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def _short(file: h5py.File) -> None:
    del file["wtk/energy"]
    file["wtk/energy"] = np.ones(3)


def _flat(file: h5py.File) -> None:
    del file["uncertainty"]
    file["uncertainty"] = np.ones(3)


def _no_noise(file: h5py.File) -> None:
    del file.attrs["noise"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without("image/sound_speed"), "/image/sound_speed is missing"),
        (_without("wtk"), "/wtk is missing; diagnose the result again"),
        (_without("nsk/transfer"), "/nsk/transfer is missing"),
        (_without("decay/measured"), "/decay/measured is missing"),
        (_short, "modes, bands and nodes must agree"),
        (_flat, r"standard_deviation has shape \(3,\), the grid \(45, 51\)"),
        (_no_noise, "noise"),
    ],
)
def test_what_is_no_diagnosis_is_refused(change, sentence: str, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=sentence) as caught:
        usct.io.load(unseal(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_damaged_bytes_are_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum does not match"):
        usct.io.load(path)


def test_curves_as_csv_say_their_units_and_hold_the_same_numbers(
    diagnosis: Diagnosis, tmp_path: Path
) -> None:
    files = write_csv(diagnosis, tmp_path)
    names = ["spectrum", "density", "transfer", "decay", "drift", "maps", "modes", "rows", "data_modes"]
    assert [file.name for file in files] == [f"{name}.csv" for name in names]
    tables = {file.stem: list(csv.DictReader(file.read_text("utf-8").splitlines())) for file in files}
    spectrum = [float(row["eigenvalue"]) for row in tables["spectrum"]]
    assert spectrum == diagnosis.data_kernel.eigenvalues.tolist()
    across = [float(row["wavenumber [rad/m]"]) for row in tables["transfer"]]
    assert across == diagnosis.image_kernel.wavenumbers.tolist()
    inside = diagnosis.region
    widths = [float(row["resolution [mm]"]) for row in tables["maps"]]
    assert widths == (1e3 * diagnosis.resolution[inside]).tolist()
    answers = [float(row["answer to (20, 0) mm"]) for row in tables["rows"]]
    assert answers == diagnosis.rows[1].answer[inside].tolist()
    assert len(tables["modes"]) == int(inside.sum())
    row = tables["data_modes"][7]
    assert float(row["frequency [Hz]"]) in diagnosis.frequencies
    where = (
        diagnosis.frequencies.index(float(row["frequency [Hz]"])),
        int(row["transmit"]),
        int(row["receive"]),
    )
    for number in (1, 2):
        value = complex(float(row[f"real_{number}"]), float(row[f"imag_{number}"]))
        assert value == diagnosis.data_kernel.modes[(number - 1, *where)].item()
    assert len(tables["data_modes"]) == int((diagnosis.data_kernel.modes != 0).any(dim=0).sum())
    row = tables["decay"][12 * 3 + 4]
    assert (row["step"], row["mode"]) == ("3", "5")
    assert float(row["measured"]) == float(diagnosis.decay.measured[3, 4])
