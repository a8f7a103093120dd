"""Maps in the files of other programs, and the command that writes them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import usct.io
from tests.io.io_helpers import assert_same
from usct.acquisition import Acquisition
from usct.cli.app import main
from usct.errors import InputError
from usct.grid import Grid
from usct.io.dicom import read_dicom
from usct.io.export import write_map
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction

GRIDS = [Grid((3, 4), 0.5e-3, (-0.02, 0.01)), Grid((2, 3, 4), 1e-3, (0.003, -0.02, 0.01))]


def values(grid: Grid) -> np.ndarray:
    return 1500 + np.arange(grid.n_cells, dtype=np.float64).reshape(grid.shape)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti(grid: Grid, ending: str, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / f"map{ending}"
    write_map(path, values(grid), grid)
    image = nibabel.load(path)
    volume = np.asarray(image.dataobj)
    index = (3, 1, grid.shape[0] - 1 if grid.n_dims == 3 else 0)
    assert volume[index] == values(grid)[tuple(reversed(index))[-grid.n_dims :]]
    z, y, x = (0.0, *grid.points()[tuple(reversed(index))[-grid.n_dims :]].tolist())[-3:]
    # RAS+: what points left and back in the package points right and forward here.
    assert image.affine @ [*index, 1] == pytest.approx([-1e3 * x, -1e3 * y, 1e3 * z, 1])
    assert image.header.get_xyzt_units()[0] == "mm"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("grid", GRIDS)
def test_ome_zarr(grid: Grid, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    for _ in range(2):
        write_map(tmp_path / "map.zarr", values(grid), grid)
    root = zarr.open_group(tmp_path / "map.zarr", mode="r")
    scales = root.attrs["ome"]["multiscales"][0]
    assert np.array_equal(root["0"][...], values(grid))
    assert [axis["unit"] for axis in scales["axes"]] == ["millimeter"] * grid.n_dims
    scale, shift = scales["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([1e3 * grid.spacing] * grid.n_dims)
    assert shift["translation"] == pytest.approx([1e3 * x for x in grid.origin])
    json.loads((tmp_path / "map.zarr" / "zarr.json").read_text())
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(InputError, match="no Zarr stands there"):
        write_map(tmp_path / "mine.zarr", values(grid), grid)


def test_tables_and_pictures(tmp_path: Path) -> None:
    grid = GRIDS[0]
    write_map(tmp_path / "a.csv", np.full(grid.shape, 11.51293), grid, "attenuation")
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert rows[0] == ["y [mm]", "x [mm]", "Ultrasound attenuation at the reference frequency [dB/cm]"]
    assert [float(v) for v in rows[-1]] == pytest.approx([-19, 11.5, 1], rel=1e-5)
    assert len(rows) == 13
    write_map(tmp_path / "a.png", values(grid), grid, window=(1500, 1505))
    assert np.asarray(Image.open(tmp_path / "a.png")).ravel()[[0, 1, 5, 11]].tolist() == [0, 51, 255, 255]
    with pytest.raises(InputError, match=r"names no format; end it with \.nii"):
        write_map(tmp_path / "a.bmp", values(grid), grid)


def test_a_result_becomes_a_study(result: Reconstruction, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    usct.io.save(result, tmp_path / "result.h5")
    with pytest.raises(SystemExit) as left:
        main(["export", str(tmp_path / "result.h5"), str(tmp_path / "study"), "--subject", "S-4"])
    assert left.value.code == 0
    layers = read_dicom(tmp_path / "study")
    speed = next(layer for layer in layers if layer.name == "Speed of sound")
    assert np.array_equal(speed.values, result.medium.sound_speed.numpy().astype(np.float32))
    assert speed.origin == pytest.approx(result.medium.grid.origin)
    labels = next(layer for layer in layers if layer.kind == "labels")
    assert np.array_equal(labels.values, result.region.numpy())


@pytest.mark.parametrize("target", ["scan.dcm", "study"])
def test_a_scan_goes_to_dicom_and_back(scan: Acquisition, target: str, tmp_path: Path) -> None:
    usct.io.save(scan, tmp_path / "scan.h5")
    with pytest.raises(SystemExit) as left:
        main(["export", str(tmp_path / "scan.h5"), str(tmp_path / target)])
    assert left.value.code == 0
    written = tmp_path / target if target == "scan.dcm" else tmp_path / target / "scan.dcm"
    assert_same(usct.io.load(written), scan)


def test_what_is_not_there_cannot_be_written(
    scan: Acquisition, phantom: Phantom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usct.io.save(scan, tmp_path / "scan.h5")
    usct.io.save(phantom, tmp_path / "phantom.h5")
    for name, extra, sentence in (
        ("scan.h5", [], "holds no map"),
        ("phantom.h5", ["--quantity", "standard_deviation"], "there is no standard_deviation in the file"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["export", str(tmp_path / name), str(tmp_path / "a.csv"), *extra])
        assert left.value.code == 2
        assert sentence in capsys.readouterr().err
