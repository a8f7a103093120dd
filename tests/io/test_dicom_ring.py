"""Scans as DICOM Raw Data: exact, in parts, de-identified, valid."""

import re
import shutil
import struct
import subprocess
from dataclasses import replace
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
from usct.io.dicom.ring import LARGEST_PART, LONGEST_ELEMENT, parts_of
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


@pytest.mark.parametrize("kind", ["int16", "float32", "spectra"])
def test_a_water_shot_goes_along_in_every_part(kind: str, tmp_path: Path) -> None:
    plain = scan(kind)
    values = plain.data.values.flip(0)
    values = values if kind == "spectra" else values.double()
    original = replace(plain, water=replace(plain.data, values=values))
    row = plain.data.values[0].numpy().nbytes
    for file in write_ring(original, tmp_path / "scan.dcm", largest=row):
        assert_same(usct.io.load(file), original)


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


@pytest.mark.parametrize(
    ("n_blocks", "block"),
    [
        (256, 256 * 4096 * 2),  # half a gigabyte: one instance
        (512, 512 * 8192 * 4),  # 8.6 GB
        (2048, 2048 * 9001 * 2 - 1),  # 75 GB, an odd number of bytes
        (3, 2**32 - 2**20),  # each just fits
        (1, 1),
    ],
)
def test_by_default_every_part_fits_a_dicom_element(n_blocks: int, block: int) -> None:
    parts = parts_of(n_blocks, block)
    assert [n for first, count in parts for n in range(first, first + count)] == list(range(n_blocks))
    for _, count in parts:
        padded = count * block + count * block % 2
        assert padded <= LONGEST_ELEMENT == 2**32 - 2
        assert struct.unpack("<I", struct.pack("<I", padded)) == (padded,)
    # No more instances than needed.
    assert all((count + 1) * block > LARGEST_PART for _, count in parts[:-1])


def test_the_length_that_is_written_is_that_of_the_data(tmp_path: Path) -> None:
    """The element's length stands before its bytes, 32 bits, in the explicit little-endian syntax."""
    original = scan("int16")
    write_ring(original, tmp_path / "scan.dcm")
    content = (tmp_path / "scan.dcm").read_bytes()
    (at,) = (m.start() for m in re.finditer(re.escape(b"\x99\x00\x05\x10OB\0\0"), content))
    n_bytes = original.data.values.numel() * 2
    assert struct.unpack_from("<I", content, at + 8) == (n_bytes,)
    assert content[at + 12 : at + 12 + n_bytes] == original.data.values.numpy().tobytes()


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
