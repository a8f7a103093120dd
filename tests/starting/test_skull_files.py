"""From a CT series in files to an image through the skull, by commands."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom import examples
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.starting.test_skull import head_ct
from usct import api, cli, io, phantom
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.grid import Grid
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction
from usct.starting.skull.model import head_of, placed
from usct.starting.skull.registration import Rigid


def usct(*words: object) -> int:
    """Exit code of a command."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0)


def write_series(folder: Path, heights_mm: list[float]) -> Path:
    """The head's slice at some heights, as a scanner writes it."""
    ct = head_ct()
    folder.mkdir()
    for number, height in enumerate(heights_mm):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.SeriesInstanceUID, image.Modality = "1.2.3", "CT"
        image.Rows, image.Columns = ct.values.shape
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation, image.SamplesPerPixel = 15, 0, 1
        image.PhotometricInterpretation = "MONOCHROME2"
        image.PixelSpacing = [1.5, 1.5]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [-90, -90, height]
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.PixelData = (ct.values + 1024).astype("<u2").tobytes()
        pydicom.dcmwrite(folder / f"{number}.dcm", image, enforce_file_format=True)
    return folder


def test_ct_series_becomes_a_start_model_in_the_ring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series, start = write_series(tmp_path / "ct", [4.0, 0.0, 2.0]), tmp_path / "start.h5"
    marks = tmp_path / "marks.csv"
    marks.write_text("y_ct,x_ct,y_ring,x_ring\n-80,0,-75,3\n80,0,85,3\n0,62,5,65\n", encoding="utf-8")
    made = usct("start", "skull", "--ct", series, "-o", start, "--landmarks", marks, "--spacing-mm", 1)
    said = capsys.readouterr().out
    assert made == 0
    assert "0.00 mm" in said and "3 landmarks" in said and "kplan" in said
    model = io.load(start)
    assert isinstance(model, Phantom)
    skull = (model.labels == model.tissues.index("skull")).numpy()
    middle = model.medium.grid.points().numpy()[skull].mean(axis=0)
    np.testing.assert_allclose(middle, [5e-3, 3e-3], atol=1e-3)
    speed = model.medium.sound_speed.numpy()
    assert 2000 < speed[skull].mean() < 2700
    assert model.medium.density is not None and model.medium.attenuation is not None


def test_wrong_inputs_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    series, start = write_series(tmp_path / "ct", [0.0, 2.0]), tmp_path / "start.h5"
    bad = tmp_path / "bad.csv"
    bad.write_text("1,2\n3,x\n", encoding="utf-8")
    for words, expected in (
        (["--height-mm", 9], "--height-mm: height 9 mm"),
        (["--mapping", "nobody"], "no mapping 'nobody'"),
        (["--landmarks", bad], "bad.csv"),
    ):
        assert usct("start", "skull", "--ct", series, "-o", start, *words) == 2
        said = capsys.readouterr().err
        assert expected in said and said.count("\n") == 1
    assert not start.exists()


def test_the_ct_that_pydicom_ships_is_read_and_refused_for_what_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A patch of a chest: its scale and place are read, and no bone in it surrounds a brain.
    chest = examples.get_path("ct")
    assert usct("start", "skull", "--ct", chest, "-o", tmp_path / "start.h5") == 2
    said = capsys.readouterr().err
    assert "bone" in said and said.count("\n") == 1


def test_reconstruction_takes_the_start_and_keeps_held_bone(tmp_path: Path) -> None:
    head = phantom.make("two_disks", spacing=2e-3)
    array = TransducerArray.ring(24, 0.11)
    scan = api.simulate(head, array, [40e3, 60e3], snr_db=None)
    assert isinstance(scan.data, Spectra) and isinstance(scan, Acquisition)
    series, start = write_series(tmp_path / "ct", [0.0]), tmp_path / "start.h5"
    assert usct("start", "skull", "--ct", series, "-o", start) == 0
    io.save(scan, tmp_path / "scan.h5")
    words = ["reconstruct", tmp_path / "scan.h5", "--start", start, "-o", tmp_path / "result.h5", "-q"]
    settings = {
        "start.bone_freedom": 0,
        "schedule.frequencies_mhz": [0.04, 0.06],
        "schedule.iterations": 1,
        "bounds.sound_speed": [1350, 3600],
    }
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    assert usct(*words, "--preset", "head") == 0
    result = io.load(tmp_path / "result.h5")
    assert isinstance(result, Reconstruction)
    bone = result.start.sound_speed > 1750
    change = (result.medium.sound_speed - result.start.sound_speed).abs()
    assert bool(bone.any()) and float(change[bone].max()) < 1.0
    assert float(change[~bone].max()) > 5.0
    assert result.provenance["start"] == "start.h5"
    assert json.loads(result.provenance["config"])["start"]["bone_freedom"] == 0
    assert torch.isfinite(result.medium.sound_speed).all()


def test_a_bleeding_is_seen_through_the_skull_of_a_ct(tmp_path: Path) -> None:
    """From the files of a CT to an image, by commands; the true bone follows another mapping, waves step in time."""
    grid = Grid.covering(0.1, 1.2e-3)
    head = placed(head_of(head_ct(), "aubry2003"), Rigid.translation(np.zeros(2)), grid)
    bleeding = grid.disc(15e-3, (-20e-3, 10e-3))
    speed = torch.where(bleeding, 1600.0, head.medium.sound_speed)
    io.save(replace(head, medium=replace(head.medium, sound_speed=speed)), tmp_path / "truth.h5")
    words = ["--engine", "time", "--elements", 24, "--snr-db", 30, "--frequencies-mhz", "0.05:0.08:0.01"]
    assert usct("simulate", tmp_path / "truth.h5", *words, "-o", tmp_path / "scan.h5", "-q") == 0
    series = write_series(tmp_path / "ct", [0.0, 2.0])
    assert usct("start", "skull", "--ct", series, "--spacing-mm", 1, "-o", tmp_path / "start.h5") == 0
    words = ["--start", tmp_path / "start.h5", "--preset", "transcranial", "-q"]
    words += ["--set", "schedule.frequencies_mhz=[0.05, 0.075]", "--set", "grid.image_spacing_mm=2"]
    assert usct("reconstruct", tmp_path / "scan.h5", *words, "-o", tmp_path / "result.h5") == 0
    result = io.load(tmp_path / "result.h5")
    assert isinstance(result, Reconstruction)
    image = result.medium.resampled(grid).sound_speed
    y, x = grid.points().unbind(dim=-1)
    brain = (torch.hypot(y / 60e-3, x / 42e-3) < 1) & ~grid.disc(22e-3, (-20e-3, 10e-3))
    assert 20.0 < float(image[bleeding].mean() - 1560.0) < 50.0
    assert float((image[brain] - 1560.0).square().mean().sqrt()) < 10.0


def test_a_ct_series_becomes_a_volume_about_the_rings_plane(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series, out = write_series(tmp_path / "ct", [0.0, 2.0, 4.0, 6.0, 8.0]), tmp_path / "volume.h5"
    flat = tmp_path / "flat.h5"
    words = ["start", "skull", "--ct", series, "--spacing-mm", 2, "--height-mm", 6]
    assert usct(*words, "--volume", "-o", out) == 0 and usct(*words, "-o", flat) == 0
    assert "a head of 5 x 117 x 117 cells of 2 mm" in capsys.readouterr().out
    volume, plane = io.load(out), io.load(flat)
    assert isinstance(volume, Phantom) and isinstance(plane, Phantom)
    grid = volume.medium.grid
    assert grid.axis(0).tolist() == pytest.approx([-6e-3, -4e-3, -2e-3, 0.0, 2e-3])
    for name in ("sound_speed", "density", "attenuation"):
        ours, theirs = getattr(volume.medium, name), getattr(plane.medium, name)
        for number in range(5):  # all slices of the series are alike
            torch.testing.assert_close(ours[number], theirs)
    assert torch.equal(volume.labels[3], plane.labels)
    # It can be scanned in three dimensions.
    scan = tmp_path / "scan.h5"
    command = [
        "simulate",
        out,
        "-o",
        scan,
        "--engine",
        "time",
        "--array",
        "cylinder",
        "--rings",
        1,
        "--elements",
        8,
    ]
    assert (
        usct(*command, "--radius-mm", 105, "--transmits", 1, "--spacing-mm", 4, "--frequencies-mhz", 0.05)
        == 0
    )


def test_slices_below_the_skull_take_part_in_a_volume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slices without a brain, or without bone, are what they are; the ring's own must show a skull."""
    head = phantom.make("head", seed=1, spacing=2e-3)
    medium = head.medium
    stacked = [
        torch.stack([values, values, torch.full_like(values, float(values[0, 0]))])
        for values in (medium.sound_speed, medium.attenuation, medium.density)
    ]
    grid = Grid((3, *medium.grid.shape), 2e-3, (0.0, *medium.grid.origin))
    labels = torch.stack([head.labels, head.labels, torch.zeros_like(head.labels)])
    io.save(
        replace(
            head,
            medium=replace(
                medium, grid=grid, sound_speed=stacked[0], attenuation=stacked[1], density=stacked[2]
            ),
            labels=labels,
        ),
        tmp_path / "head.h5",
    )
    out = tmp_path / "volume.h5"
    words = ["start", "skull", "--labels", tmp_path / "head.h5", "--in-place", "--spacing-mm", 2, "--volume"]
    assert usct(*words, "-o", out, "--height-mm", 2) == 0
    volume = io.load(out)
    assert isinstance(volume, Phantom)
    bony = (volume.medium.sound_speed > 1750).flatten(1).any(dim=1)
    assert bony.tolist() == [True, True, False]
    capsys.readouterr()
    assert usct(*words, "-o", out, "--height-mm", 4) == 2
    flat = ["start", "skull", "--labels", tmp_path / "flat.h5", "--in-place", "--spacing-mm", 2, "--volume"]
    io.save(head, tmp_path / "flat.h5")
    assert usct(*flat, "-o", tmp_path / "one.h5") == 2
    assert "slices over 0 mm make no volume of cells of 2 mm; give a series of more slices" in (
        capsys.readouterr().err
    )
    assert usct(*words[:-3], "--spacing-mm", 0.1, "--radius-mm", 500, "--volume", "-o", out) == 2
    assert "million cells is too large; use larger ones" in capsys.readouterr().err
    assert usct(*words, "-o", out, "--height-mm", 9) == 2
