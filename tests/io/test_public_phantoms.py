"""Phantoms of public data sets, in files of the layouts that their makers use."""

import gzip
import struct

import h5py
import numpy as np
import pytest

from usct import io
from usct.cli.app import _exit_code as usct
from usct.errors import InputError
from usct.io.breast_slices import read_slice
from usct.io.glance import is_readable
from usct.io.label_volumes import read_label_volume
from usct.phantom import VICTRE, load_tissues
from usct.units import attenuation_to_db

LABELS = np.zeros((3, 4, 5), dtype=np.uint8)
LABELS[1, 1:3, 1:4] = [[2, 1, 29], [33, 88, 200]]


def victre(folder, data="p_7.raw.gz", spacing="0.5 0.5 0.5", more=""):
    """A header and its voxels as breastPhantom writes them."""
    raw = LABELS.tobytes()
    if data != "LOCAL":
        (folder / data).write_bytes(gzip.compress(raw) if data.endswith("gz") else raw)
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{more}"
        f"ElementSpacing = {spacing}\nDimSize = 5 4 3\nElementType = MET_UCHAR\nElementDataFile = {data}\n"
    )
    path = folder / "p_7.mhd"
    path.write_bytes(header.encode() + (raw if data == "LOCAL" else b""))
    return path


def nifti(path, values, code, order="<", slope=0.0, unit=2):
    """A NIfTI-1 file; values run (z, y, x)."""
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, 3, *values.shape[::-1], 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", head, 70, code, 8 * values.itemsize)
    struct.pack_into(f"{order}8f", head, 76, 1, 0.5, 0.5, 0.5, 0, 0, 0, 0)
    struct.pack_into(f"{order}3f", head, 108, 352, slope, 0)
    head[123], head[344:348] = unit, b"n+1\0"
    whole = bytes(head) + values.astype(values.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)
    return path


@pytest.mark.parametrize("data", ["p_7.raw.gz", "p_7.raw", "LOCAL"])
def test_victres_volume(tmp_path, data):
    values, spacing = read_label_volume(victre(tmp_path, data))
    assert np.array_equal(values, LABELS)
    assert spacing == pytest.approx(0.5e-3)


@pytest.mark.parametrize(
    ("name", "dtype", "code", "order", "slope"),
    [("a.nii", "u1", 2, "<", 0.0), ("a.nii.gz", "i2", 4, ">", 1.0), ("b.nii", "f4", 16, "<", 1.0)],
)
def test_nifti(tmp_path, name, dtype, code, order, slope):
    values, spacing = read_label_volume(nifti(tmp_path / name, LABELS.astype(dtype), code, order, slope))
    assert np.array_equal(values, LABELS)
    assert values.dtype.kind in "iu"
    assert spacing == pytest.approx(0.5e-3)


def test_a_slice_of_victre_becomes_a_phantom(tmp_path, capsys):
    source, target = victre(tmp_path), tmp_path / "phantom.h5"
    assert usct(["convert", str(source), str(target), "--labels", "victre", "--plane", "1"]) == 0
    assert "Wrote" in capsys.readouterr().out
    made = io.load(target)
    table = load_tissues("park2023").tissues
    wanted = [[table[VICTRE[int(n)]].sound_speed.mean for n in row] for row in LABELS[1]]
    assert made.medium.sound_speed.tolist() == wanted
    assert made.medium.grid.spacing == pytest.approx(0.5e-3)


def test_labels_of_a_head_with_a_list_of_names(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("# MIDA\n50 water  # background\n\n7 cortical\n")
    source = nifti(tmp_path / "head.nii", np.array([[[50, 7], [7, 50]]], dtype=np.uint8), 2)
    command = ["convert", str(source), str(tmp_path / "head.h5"), "--labels", str(names), "--plane", "0"]
    assert usct([*command, "--tissue-preset", "itrusst", "--power", "head"]) == 0
    assert io.load(tmp_path / "head.h5").medium.sound_speed.tolist() == [[1500.0, 2800.0], [2800.0, 1500.0]]
    names.write_text("50 water\nseven cortical\n")
    assert usct([*command, "--tissue-preset", "itrusst", "--power", "head"]) == 2


def test_damaged_and_unfit_volumes_are_refused(tmp_path):
    good = victre(tmp_path)
    huge = good.read_bytes().replace(b"= 5 4 3", b"= 99999 99999 9")
    for change, named in (
        (lambda: victre(tmp_path, spacing="0.5 0.5 0.8"), "no cubes"),
        (lambda: victre(tmp_path, spacing="0.5 x 0.8"), "no number"),
        (lambda: victre(tmp_path, data="gone/away.raw".rpartition("/")[2]), None),
        (lambda: (tmp_path / "p_7.raw.gz").write_bytes(b"\x1f\x8b\x08nothing"), "cannot be read"),
        (lambda: (tmp_path / "p_7.raw.gz").write_bytes(gzip.compress(b"few")), "are needed"),
        (lambda: (tmp_path / "p_7.raw.gz").unlink(), "cannot be read"),
        (lambda: good.write_bytes(b"nothing"), "no MetaImage"),
        (lambda: good.write_bytes(huge), "GiB"),
    ):
        victre(tmp_path)
        change()
        if named is None:
            assert np.array_equal(read_label_volume(good)[0], LABELS)
            continue
        with pytest.raises(InputError, match=named):
            read_label_volume(good)
    odd = nifti(tmp_path / "odd.nii", LABELS.astype("f4") + 0.25, 16)
    with pytest.raises(InputError, match="whole numbers"):
        read_label_volume(odd)
    odd.write_bytes(odd.read_bytes()[:300])
    with pytest.raises(InputError, match="NIfTI-1"):
        read_label_volume(odd)


def nbp(path, label=29):
    """A slice as NBPslices2D stores it: MATLAB's order, its own units."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["sos"] = np.array([[1.5, 1.44, 1.52], [1.5, 1.5, 1.555]]).T
        file["den"] = np.array([[0.994e-3, 0.911e-3, 1.041e-3], [0.994e-3, 0.994e-3, 1.109e-3]]).T
        file["att"] = np.array([[0.0, 0.04, 0.075], [0.0, 0.0, 0.18]]).T
        file["label"] = np.array([[0, 1, label], [0, 0, 2]], dtype=np.uint8).T
        file["type"], file["y"] = np.array([[67]], dtype=np.uint16), np.array([[1.2563]])
    return path


def test_a_slice_of_nbp(tmp_path):
    made = io.load(nbp(tmp_path / "slice.mat"))
    assert is_readable(tmp_path / "slice.mat")
    assert made.medium.sound_speed.tolist() == [[1500.0, 1440.0, 1520.0], [1500.0, 1500.0, 1555.0]]
    assert made.medium.density.tolist()[0] == pytest.approx([994.0, 911.0, 1041.0])
    assert attenuation_to_db(made.medium.attenuation[0, 2]) == pytest.approx(0.75)
    assert made.medium.attenuation_power == 1.2563
    assert made.medium.grid.spacing == pytest.approx(1e-4)
    assert [made.tissues[i] for i in made.labels[0]] == ["water", "fat", "gland"]
    assert made.provenance["density_class"] == "type C"
    with pytest.raises(InputError, match="label 77"):
        io.load(nbp(tmp_path / "other.mat", label=77))


def test_a_map_of_a_stack(tmp_path):
    maps = np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 1450
    matlab, plain = tmp_path / "breast_train_speed.mat", tmp_path / "train.h5"
    with h5py.File(matlab, "w", userblock_size=512) as file:
        # MATLAB's (y, x, number) is listed in reverse.
        file["breast_train"] = maps.transpose(0, 2, 1)
    with matlab.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")
    with h5py.File(plain, "w") as file:
        file["sos"], file["label"] = maps, maps
    for made in (read_slice(matlab, 1, 5e-4), read_slice(plain, 1, 5e-4, "sos")):
        assert np.array_equal(made.medium.sound_speed.numpy(), maps[1])
        assert made.medium.grid.spacing == 5e-4
    for path, number, variable, named in (
        (plain, 0, "", "--variable"),
        (plain, 2, "sos", "0 to 1"),
        (matlab, 0, "no", "breast_train"),
    ):
        with pytest.raises(InputError, match=named):
            read_slice(path, number, 5e-4, variable)
    target = str(tmp_path / "phantom.h5")
    assert usct(["convert", str(matlab), target, "--number", "0", "--spacing-mm", "0.5"]) == 0
    assert usct(["convert", str(matlab), target, "--number", "0"]) == 2
