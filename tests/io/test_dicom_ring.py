"""Scans as DICOM Raw Data: exact, in parts, de-identified, valid."""

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
import torch

import usct.io
from tests.io.io_helpers import assert_same
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.errors import InputError
from usct.grid import Grid
from usct.io.dicom import Study, write_ring
from usct.medium import Medium


def scan(kind: str) -> Acquisition:
    generator = torch.Generator().manual_seed(2)
    array = TransducerArray(TransducerArray.ring(5, 0.1).positions, torch.tensor([0, 2, 4]), torch.arange(5))
    grid = Grid.centred((3, 4), 1e-3)
    truth = Medium(grid, torch.full((3, 4), 1510.0), attenuation=torch.rand((3, 4), generator=generator))
    if kind == "spectra":
        values = torch.randn((2, 3, 5), generator=generator, dtype=torch.complex128)
        data: Traces | Spectra = Spectra(values, torch.tensor([2e5, 3e5]), torch.rand(2, 3, 5).double(), 12.5)
    else:
        values = (1000 * torch.randn((3, 5, 7), generator=generator)).to(getattr(torch, kind))
        valid = torch.rand((3, 5), generator=generator) > 0.3
        data = Traces(values, -1.25e-6, 5e6 / 3, valid)
    return Acquisition(array, data, 1490.5, truth, None, "Ring", {"Ort": "Zürich"}, ("One note.",))


@pytest.mark.parametrize("kind", ["int16", "float32", "float64", "spectra"])
def test_a_round_trip_is_exact(kind: str, tmp_path: Path) -> None:
    original = scan(kind)
    assert write_ring(original, tmp_path / "scan.dcm") == (tmp_path / "scan.dcm",)
    assert_same(usct.io.load(tmp_path / "scan.dcm"), original)


def test_large_scans_are_split_and_joined(tmp_path: Path) -> None:
    original = scan("float32")
    row = 5 * 7 * 4
    files = write_ring(original, tmp_path / "scan.dcm", largest=2 * row - 1)
    assert [file.name for file in files] == ["scan.dcm", "scan-2.dcm", "scan-3.dcm"]
    for file in files:
        assert_same(usct.io.load(file), original)
    write_ring(scan("int16"), tmp_path / "another.dcm")
    assert_same(usct.io.load(files[1]), original)
    files[1].unlink()
    with pytest.raises(InputError, match="2 of 3 blocks of the scan are here"):
        usct.io.load(files[0])
    with pytest.raises(InputError, match="one transmit takes"):
        write_ring(original, tmp_path / "no.dcm", largest=row - 1)


def test_nobody_is_named_unless_asked_for(tmp_path: Path) -> None:
    write_ring(scan("int16"), tmp_path / "a.dcm")
    write_ring(scan("int16"), tmp_path / "b.dcm", Study("S-017", "BREAST", "L"))
    anonymous, named = (pydicom.dcmread(tmp_path / name) for name in ("a.dcm", "b.dcm"))
    assert anonymous.PatientName == "" == anonymous.PatientID
    assert anonymous.PatientIdentityRemoved == "YES"
    assert (named.PatientID, named.BodyPartExamined, named.Laterality) == ("S-017", "BREAST", "L")
    with pytest.raises(InputError, match="BREAST is paired"):
        Study(body_part="BREAST")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("study", [Study(), Study("S-1", "BREAST", "R"), Study("S-2", "HEAD")])
def test_objects_are_valid(study: Study, tmp_path: Path) -> None:
    write_ring(scan("int16"), tmp_path / "scan.dcm", study)
    done = subprocess.run(
        ["dciodvfy", "-new", str(tmp_path / "scan.dcm")], capture_output=True, text=True, check=False
    )
    assert "RawData" in done.stderr + done.stdout
    assert "Error" not in done.stderr + done.stdout


def test_damage_costs_a_sentence(tmp_path: Path) -> None:
    write_ring(scan("float32"), tmp_path / "scan.dcm")
    content = (tmp_path / "scan.dcm").read_bytes()
    for length in range(140, len(content), 251):
        (tmp_path / "cut.dcm").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"cut\.dcm"):
            usct.io.load(tmp_path / "cut.dcm")
