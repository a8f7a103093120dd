"""The plug-in in a real window, each script in a process of its own."""

import shutil

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.data import get_testdata_file

from tests.napari.conftest import LONGEST
from usct import io
from usct.acquisition import Acquisition, Traces, TransducerArray

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONGEST)]


def test_everything_opens_without_a_complaint(drive, tmp_path):
    drive("opening", tmp_path)


def test_napari_opens_scans_and_folders_without_a_question(drive, tmp_path):
    scan = Acquisition(TransducerArray.ring(8, 0.05), Traces.of(torch.ones(8, 8, 9), 0.0, 2e6))
    paths = [tmp_path / name for name in ("ring.h5", "matlab.mat", "slices", "damaged.h5")]
    io.save(scan, paths[0])
    with h5py.File(paths[1], "w") as file:
        file["full_dataset"], file["time"] = np.ones((8, 8, 9)), np.arange(9)[:, None] / 2e6
        file["transducerPositionsXY"] = scan.array.positions.numpy()[:, ::-1]
    paths[2].mkdir()
    shutil.copy(get_testdata_file("CT_small.dcm"), paths[2] / "slice.dcm")
    damaged = bytearray(paths[0].read_bytes())
    damaged[-200] ^= 0xFF
    paths[3].write_bytes(damaged)
    lines = drive("launching", *paths).splitlines()
    found = {line.removeprefix("layer ") for line in lines if line.startswith("layer ")}
    scans = {f"{what} · {name}" for what in ("elements", "traces") for name in ("ring", "matlab")}
    assert found == scans | {"CT [HU] · slices"}
    assert "units {'millimeter'}" in lines
    # The camera holds all of what was opened first.
    assert not [line for line in lines if line.startswith("out of view") and line.endswith("ring")]
    # What is damaged costs a sentence in a notification, and nothing of it is opened.
    (said,) = (line for line in lines if line.startswith("said "))
    assert said.startswith("said ['damaged.h5: its checksum does not match"), said


def test_what_usct_is_asked_first_but_does_not_read_goes_on_to_napari(drive, tmp_path):
    pictures, foreign = tmp_path / "pictures", tmp_path / "foreign.h5"
    pictures.mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(pictures / "one.tif")
    with h5py.File(foreign, "w") as file:
        file["image"] = np.zeros((4, 4))
    lines = drive("launching", pictures, foreign).splitlines()
    assert [line for line in lines if line.startswith("layer ")] == ["layer pictures"]
    # Neither of the two can make anything of it, which is said in a sentence.
    (said,) = (line for line in lines if line.startswith("said "))
    assert "foreign.h5: this is nothing that usct reads, and the reader of napari fails on it" in said, said


def test_three_clicks_lead_from_an_empty_window_to_an_image(drive, tmp_path):
    assert "3 clicks" in drive("three_clicks", tmp_path).splitlines()


def test_the_head_opens_with_its_skull_and_one_click_leads_to_an_image(drive, tmp_path):
    drive("head_sample", tmp_path)


def test_the_slider_below_the_picture_belongs_to_what_is_seen_and_moves_with_the_panels(drive, tmp_path):
    drive("sliders", tmp_path)


def test_an_element_may_send_twice_and_a_panel_be_opened_twice(drive, tmp_path):
    drive("twice", tmp_path)


def test_a_shot_in_water_as_a_second_file_hides_nothing(drive, tmp_path):
    drive("water", tmp_path)


def test_what_is_hostile_costs_a_sentence(drive, tmp_path):
    drive("hostile", tmp_path)


def test_a_click_through_from_scan_to_comparison_with_pictures(drive, tmp_path):
    assert "longest stall" in drive("click_through", tmp_path)
    for name in ("scan", "reconstruct", "kernels", "maps", "spectra", "compare"):
        picture = tmp_path / f"{name}.png"
        values = np.asarray(Image.open(picture).convert("L"), dtype=float)
        # Both halves show something: the image, and the panel beside it.
        width = values.shape[1]
        assert values[:, width // 4 : width // 2].std() > 5
        assert values[:, -width // 5 :].std() > 5
        assert picture.stat().st_size < 300_000
