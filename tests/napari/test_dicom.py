"""DICOM files as layers, without a window."""

import shutil

import numpy as np
import pytest
import torch
from pydicom.data import get_testdata_file
from usct_napari import reading
from usct_napari.dicom import dicom_layers

from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.errors import InputError
from usct.io.dicom import DicomLayer
from usct.io.dicom.ring import write_ring


def test_a_folder_of_slices_opens_in_millimetres(tmp_path):
    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "slice.dcm")
    (tmp_path / "notes.txt").write_text("not a slice")
    reader = reading.get_reader(str(tmp_path))
    assert reader is not None
    ((values, facts, kind),) = reader(str(tmp_path))
    assert kind == "image"
    assert "[HU]" in facts["name"]
    assert values.shape == (128, 128)
    assert facts["scale"] == pytest.approx((0.661468, 0.661468))
    assert facts["units"] == ("mm", "mm")
    low, high = facts["contrast_limits"]
    assert values.min() <= low < high <= values.max()


def test_folders_and_files_without_dicom_are_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    assert reading.get_reader(str(tmp_path)) is None
    assert reading.get_reader(str(tmp_path / "notes.txt")) is None


def test_a_cut_dicom_file_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "slice.dcm"
    with open(get_testdata_file("CT_small.dcm"), "rb") as whole:  # noqa: PTH123 - pydicom's path is a text
        path.write_bytes(whole.read()[:9000])
    with pytest.raises(InputError, match=r"slice\.dcm"):
        reading.read(str(path))


def test_channel_data_open_as_a_scan(tmp_path):
    array, path = TransducerArray.ring(8, 0.05), tmp_path / "ring.dcm"
    values = torch.randn(8, 8, 20, generator=torch.Generator().manual_seed(0))
    write_ring(Acquisition(array, Traces.of(values, 0.0, 2e6)), path)
    made = {facts["name"]: data for data, facts, _ in reading.read(str(path))}
    np.testing.assert_array_equal(made["traces · ring"], values.numpy())
    np.testing.assert_allclose(made["elements · ring"], 1e3 * array.positions.numpy())


def test_maps_labels_and_colours_become_what_they_are(tmp_path):
    space = ((1e-3, 2e-3), (0.0, 5e-3))
    speed = DicomLayer("Speed of sound", "map", np.linspace(1400.0, 1600.0, 12).reshape(3, 4), *space, "m/s")
    labels = DicomLayer("lesion", "labels", np.ones((3, 4), np.uint8), *space)
    colours = DicomLayer("B-mode", "image", np.zeros((3, 4, 3), np.uint8), *space, rgb=True)
    made = dicom_layers([speed, labels, colours], tmp_path / "object.dcm")
    assert [kind for _, _, kind in made] == ["image", "labels", "image"]
    assert made[0][1]["name"] == "Speed of sound [m/s] · object"
    assert made[0][1]["metadata"]["usct"].has_bar
    assert made[1][0].dtype == np.int32
    assert made[2][1]["rgb"]
    for _, facts, _ in made:
        assert facts["scale"] == pytest.approx((1.0, 2.0))
        assert facts["translate"] == pytest.approx((0.0, 5.0))
