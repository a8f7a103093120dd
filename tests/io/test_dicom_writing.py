"""Maps, labels, reports and pictures as DICOM: they come back, they are valid, and nobody is named."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from usct.errors import InputError
from usct.grid import Grid
from usct.io.dicom import Study, read_dicom
from usct.io.dicom.layers import Space
from usct.io.dicom.placing import Lattice
from usct.io.quantities import QUANTITIES

pytest.importorskip("highdicom", reason="highdicom (extra dicom) is not installed")

from usct.io.dicom.report import write_report
from usct.io.dicom.writing import write_parametric_map, write_picture, write_segmentation

GRIDS = {2: Grid((5, 6), 0.7e-3, (-0.03, -0.0215)), 3: Grid((3, 5, 6), 1e-3, (0.004, -0.03, -0.02))}
NAMES = ("fat", "lesion")


def maps(n_dims: int) -> tuple[Grid, np.ndarray, np.ndarray]:
    grid = GRIDS[n_dims]
    rng = np.random.default_rng(1)
    labels = np.zeros(grid.shape, np.int16)
    labels[..., 1:4, 1:5], labels[..., 2, 3] = 1, 2
    return grid, 1500 + 40 * rng.standard_normal(grid.shape), labels


def write_all(folder: Path, n_dims: int, study: Study) -> list[Path]:
    grid, values, labels = maps(n_dims)
    quantity = QUANTITIES["sound_speed"]
    files = [folder / f"{name}.dcm" for name in ("map", "labels", "report", "picture", "grey", "drawn")]
    image = write_parametric_map(values, grid, quantity, files[0], study)
    labelled = write_segmentation(labels, NAMES, grid, files[1], study, image)
    write_report(values, labels, NAMES, grid, quantity, files[2], study, image, labelled)
    turned = Space(((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)), study.space)
    lattice = Lattice((2e-3, 1e-3, 0.5e-3)[-n_dims:], grid.origin, turned)
    write_segmentation(labels, NAMES, lattice, files[5], study, by_hand=True)
    write_picture(np.full((5, 7, 3), 9, np.uint8), files[3], study)
    write_picture(np.full((5, 7), 9, np.uint8), files[4], study)
    return files


@pytest.mark.parametrize("n_dims", [2, 3])
def test_maps_and_labels_come_back(n_dims: int, tmp_path: Path) -> None:
    grid, values, labels = maps(n_dims)
    files = write_all(tmp_path, n_dims, Study())
    (layer,) = read_dicom(files[0])
    assert np.array_equal(layer.values, values.astype(np.float32))
    assert layer.spacing == pytest.approx((grid.spacing,) * n_dims)
    assert layer.origin == pytest.approx(grid.origin)
    assert (layer.kind, layer.unit, layer.name) == ("map", "m/s", "Speed of sound")
    (layer,) = read_dicom(files[1])
    assert np.array_equal(layer.values, labels)
    assert layer.spacing == pytest.approx((grid.spacing,) * n_dims)
    assert layer.origin == pytest.approx(grid.origin)
    assert layer.name == "fat, lesion"


def test_attenuation_is_written_in_decibels(tmp_path: Path) -> None:
    write_parametric_map(
        np.full((5, 6), 11.5129), GRIDS[2], QUANTITIES["attenuation"], tmp_path / "a.dcm", Study()
    )
    (layer,) = read_dicom(tmp_path / "a.dcm")
    assert layer.unit == "dB/cm"
    assert layer.values == pytest.approx(np.ones((5, 6)), rel=1e-4)


def test_the_report_holds_the_numbers(tmp_path: Path) -> None:
    grid, values, labels = maps(2)
    report = pydicom.dcmread(write_all(tmp_path, 2, Study())[2])
    numbers = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in report.iterall()
        for item in ([item.value] if item.VR != "SQ" else item.value)
        if isinstance(item, pydicom.Dataset) and "MeasuredValueSequence" in item
    ]
    for number in (1, 2):
        inside = values[labels == number]
        for expected in (inside.mean(), inside.std(), inside.min(), inside.max(), 0.49 * len(inside)):
            assert any(value == pytest.approx(expected, rel=1e-7, abs=1e-9) for value in numbers)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("study", [Study(), Study("S-1", "BREAST", "R")])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_objects_are_valid(n_dims: int, study: Study, tmp_path: Path) -> None:
    for file in write_all(tmp_path, n_dims, study):
        done = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert "Error" not in said, f"{file.name}: {said}"
        dataset = pydicom.dcmread(file)
        assert (dataset.PatientName, dataset.PatientID) == ("", study.subject)
        assert dataset.PatientIdentityRemoved == "YES"
        assert dataset.StudyInstanceUID == study.uid


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    values = np.full((5, 6), np.nan)
    with pytest.raises(InputError, match="not finite"):
        write_parametric_map(values, GRIDS[2], QUANTITIES["sound_speed"], tmp_path / "a.dcm", Study())
    assert not list(tmp_path.iterdir())
