"""Bad input ends in one sentence that names file, value and remedy, and reads no other file."""

import dataclasses
import random
import struct
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

import usct.io
from tests.io.io_helpers import MatlabWriter, assert_same, unseal
from usct.acquisition import Acquisition
from usct.errors import InputError
from usct.reconstruction import Reconstruction

Variables = dict[str, np.ndarray]


def refuse(path: Path, sentence: str) -> None:
    """Loading fails with a sentence about this file, and `problems` lists it."""
    with pytest.raises(InputError, match=sentence) as caught:
        usct.io.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert "\n" not in message
    assert message in usct.io.problems(path)


def _traces(name: str, variables: Variables) -> None:
    xy, time, data = (variables[key] for key in ("transducerPositionsXY", "time", "full_dataset"))
    changes: dict[str, Variables] = {
        "millimetres": {"transducerPositionsXY": 1000 * xy},
        "coincident": {"transducerPositionsXY": np.where(np.arange(12) == 7, xy[:, 3:4], xy)},
        "lost position": {"transducerPositionsXY": np.where(np.arange(12) == 7, np.nan, xy)},
        "missing positions": {"transducerPositionsXY": xy[:, :11]},
        "cut data": {"full_dataset": data[:12]},
        "four axes": {"full_dataset": data[None]},
        "falling time": {"time": time[:, ::-1]},
        "uneven time": {"time": 2e-7 * np.arange(20.0) ** 1.5},
        "microseconds": {"time": 1e6 * time},
        "short time": {"time": time[:, :15]},
        "lost time": {"time": np.where(np.arange(20) == 3, np.nan, time)},
        "complex traces": {"full_dataset": data * 1j},
        "silence": {"full_dataset": 0 * data},
    }
    variables |= changes[name]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("millimetres", r"transducerPositionsXY look like millimetres \(radius 50, .*divide them by 1000"),
        ("coincident", "elements 3 and 7 coincide; give"),
        ("lost position", "element 7 are not finite"),
        (
            "missing positions",
            "full_dataset have 12 transmits but transducerPositionsXY list 11 elements; store",
        ),
        (
            "cut data",
            "full_dataset have 12 samples but time has 20; store one for each and check the order",
        ),
        ("four axes", r"full_dataset have the shape \(1, 20, 12, 12\)"),
        ("falling time", "time does not increase at sample 1; store"),
        ("uneven time", "time is not evenly spaced at sample .*; resample"),
        ("microseconds", r"time looks like microseconds \(interval 0.2, .*divide it by 1e6"),
        ("short time", "20 samples but time has 15"),
        ("lost time", "time must hold at least two finite"),
        ("complex traces", "full_dataset have the type complex(64|128); store traces as real"),
        ("silence", "full_dataset hold no usable sample; record"),
    ],
)
def test_traces(
    name: str, sentence: str, write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path
) -> None:
    _traces(name, time_variables)
    refuse(write_matlab(tmp_path / "scan.mat", time_variables), sentence)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("f", np.empty((0, 0)), "f is empty; store the frequencies"),
        ("f", np.array([[0.1]]), "f holds 0.1, which looks like kHz or MHz; store"),
        ("f", np.array([[-1e5]]), "f holds -100000; store positive"),
        ("f", np.array([[1e5, 2e5]]), "REC_DATA have 1 samples but f has 2"),
        ("REC_DATA", np.ones((12, 12)), "REC_DATA are real; store complex"),
        ("REC_DATA", np.ones((12, 11)) * 1j, "REC_DATA have 11 receives but x_circ, y_circ list 12"),
        ("x_circ", np.ones((1, 11)), "x_circ has 11 values and y_circ 12"),
    ],
)
def test_spectra(
    name: str,
    values: np.ndarray,
    sentence: str,
    write_matlab: MatlabWriter,
    frequency_variables: Variables,
    tmp_path: Path,
) -> None:
    frequency_variables[name] = values
    refuse(write_matlab(tmp_path / "scan.mat", frequency_variables), sentence)


def test_every_fault_is_listed(write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path) -> None:
    for name in ("millimetres", "falling time", "cut data"):
        _traces(name, time_variables)
    found = usct.io.problems(write_matlab(tmp_path / "scan.mat", time_variables))
    assert len(found) == 3


def test_a_missing_variable(write_matlab: MatlabWriter, time_variables: Variables, tmp_path: Path) -> None:
    del time_variables["time"]
    refuse(write_matlab(tmp_path / "scan.mat", time_variables), "variable time is missing; store")


def test_cells_and_structs(time_variables: Variables, tmp_path: Path) -> None:
    cell = np.empty((1, 2), dtype=object)
    cell[0, 0], cell[0, 1] = np.ones(3), np.ones(4)
    scipy.io.savemat(tmp_path / "cell.mat", time_variables | {"full_dataset": cell})
    refuse(tmp_path / "cell.mat", "full_dataset is a MATLAB cell; store a numeric array")
    scipy.io.savemat(tmp_path / "struct.mat", time_variables | {"time": {"a": 1.0}})
    refuse(tmp_path / "struct.mat", "time is a MATLAB struct; store a numeric array")
    with h5py.File(tmp_path / "group.mat", "w", userblock_size=512) as file:
        file.create_group("full_dataset")
    refuse(tmp_path / "group.mat", "full_dataset is a MATLAB struct or sparse")
    with h5py.File(tmp_path / "reference.mat", "w", userblock_size=512) as file:
        file["full_dataset"] = np.array([file.ref], dtype=h5py.ref_dtype)
    refuse(tmp_path / "reference.mat", "/full_dataset has the type object; store plain numbers")


def test_unknown_variables(write_matlab: MatlabWriter, tmp_path: Path) -> None:
    path = write_matlab(tmp_path / "other.mat", {"tof_map": np.ones((4, 4))})
    refuse(path, "none of full_dataset, REC_DATA, .*give a usct file")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty; copy"),
        (b"x,y\n1,2\n", "this is a text file; give"),
        (b"\x00\x01\x02\x03" * 200, "the format is unknown or the file damaged; give"),
        (bytes(128) + b"DICM" + bytes(200), "this DICOM object holds no channel data|DICOM file is damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "truncated or damaged .*; copy"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "7.3 file is truncated or damaged"),
        (
            b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\x0f\x00\x00\x00\xff\x00\x00\x00abc",
            "damaged",
        ),
    ],
)
def test_contents_that_are_no_scan(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    path.write_bytes(content)
    refuse(path, sentence)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refuse(tmp_path / "none.h5", "there is no such file; check the path")
    refuse(tmp_path, "this is a folder; give the name of a file")


def _external_link(file: h5py.File, secret: Path) -> None:
    file["acquisition"] = h5py.ExternalLink(str(secret), "/")


def _soft_link_loop(file: h5py.File, _: Path) -> None:
    file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")


def _external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("C", (4,), "u1", external=[(str(secret), 0, 4)])


def _virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "secret", (2, 2))
    file.create_virtual_dataset("C", layout)


@pytest.mark.parametrize("build", [_external_link, _soft_link_loop, _external_storage, _virtual])
def test_files_that_point_elsewhere(build: object, tmp_path: Path) -> None:
    secret, path = tmp_path / "secret.h5", tmp_path / "scan.h5"
    with h5py.File(secret, "w") as file:
        file["secret"] = np.ones((2, 2))
    accessed = secret.stat().st_atime_ns
    assert callable(build)
    with h5py.File(path, "w") as file:
        build(file, secret)
    refuse(path, "; store the data itself in this file")
    assert secret.stat().st_atime_ns == accessed


def test_hard_link_loops_end(phantom_file: Path) -> None:
    with h5py.File(phantom_file, "r+") as file:
        file["truth/again"] = file["/"]
    assert usct.io.problems(unseal(phantom_file)) == []


@pytest.fixture
def phantom_file(phantom: object, tmp_path: Path) -> Path:
    usct.io.save(phantom, tmp_path / "phantom.h5")  # type: ignore[arg-type]
    return tmp_path / "phantom.h5"


def test_huge_claims(tmp_path: Path) -> None:
    path = tmp_path / "map.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("sound_speed", (2**17, 2**14), "f8", chunks=(2**10, 2**10), compression="gzip")
        file["spacing"] = 1e-3
    assert path.stat().st_size < 1e6
    refuse(path, r"/sound_speed claims 17.2 GB but stores .* kB; write")


def test_huge_claims_of_matlab_5(tmp_path: Path) -> None:
    path = tmp_path / "map.mat"
    name = b"C\x00\x00\x00"
    flags = struct.pack("<IIII", 6, 8, 6, 0)
    shape = struct.pack("<IIii", 5, 8, 2**20, 2**14)
    matrix = flags + shape + struct.pack("<HH", 1, 1) + name + struct.pack("<II", 9, 8) + bytes(8)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.write_bytes(header + struct.pack("<II", 14, len(matrix)) + matrix)
    refuse(path, "C claims 275 GB but stores .* kB; write")


def test_truncations_are_found(scan: Acquisition, tmp_path: Path) -> None:
    usct.io.save(scan, tmp_path / "whole.h5")
    content = (tmp_path / "whole.h5").read_bytes()
    for fraction in (0.001, 0.01, 0.1, 0.5, 0.9, 0.999):
        path = tmp_path / "cut.h5"
        path.write_bytes(content[: int(fraction * len(content))])
        assert len(usct.io.problems(path)) == 1
        with pytest.raises(InputError):
            usct.io.load(path)


def test_bit_flips_are_found_or_harmless(result: Reconstruction, tmp_path: Path) -> None:
    """No flipped bit changes what is read: it is refused, or hit a byte without meaning."""
    path = tmp_path / "result.h5"
    usct.io.save(result, path)
    content = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(400):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            assert_same(usct.io.load(path), result)
        except InputError as error:
            refused += str(error).startswith(f"{path}: ")
    assert refused > 350


def test_a_damaged_dataset_is_named(scan: Acquisition, tmp_path: Path) -> None:
    """Datasets carry sums of their own, which hold where another program has rewritten the file."""
    path = tmp_path / "scan.h5"
    usct.io.save(scan, path)
    with h5py.File(path, "r+") as file:
        file["transducer/positions"][0, 0] += 1e-9
    refuse(path, "its checksum does not match")
    refuse(unseal(path), "/transducer/positions does not match its checksum")


def test_an_edited_attribute_is_found(phantom_file: Path) -> None:
    with h5py.File(phantom_file, "r+") as file:
        file["truth/sound_speed"].attrs["spacing"] = 2e-3
    refuse(phantom_file, "its checksum does not match, so it is .* edited")


def test_conjugated_native_spectra_are_reported(frequency_variables: Variables, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "scan.mat", frequency_variables)
    scan = usct.io.load(tmp_path / "scan.mat")
    assert isinstance(scan, Acquisition)
    turned = dataclasses.replace(scan.data, values=scan.data.values.conj())
    usct.io.save(dataclasses.replace(scan, data=turned), tmp_path / "scan.h5")
    assert "conjugate them" in usct.io.problems(tmp_path / "scan.h5")[0]


def test_damage_in_matlab_5_never_escapes(frequency_variables: Variables, tmp_path: Path) -> None:
    """Damaged bytes of a format without checksums may go unseen, but only ever raise InputError."""
    path = tmp_path / "scan.mat"
    scipy.io.savemat(path, frequency_variables)
    content = path.read_bytes()
    rng = random.Random(1)
    for _ in range(150):
        flipped = bytearray(content)
        flipped[rng.randrange(128, len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            usct.io.problems(path)
