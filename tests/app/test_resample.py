"""`usct resample`: the trained field on another grid, and one line where that cannot be."""

import dataclasses
import math
from pathlib import Path

import h5py
import pytest
import torch

from usct import cli, io
from usct.cli import resampling
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.catalogue import trained
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.pixel import PixelGrid
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction, Record, Status

GRID = Grid((31, 25), 1e-3, (-14e-3, -12e-3))
REGION = GRID.disc(9e-3)
BOUNDS = (1400.0, 1650.0)
WATER = Medium.homogeneous(GRID, 1490.0)
N_PARAMETERS = 48 * 12 + 12 * 12 + 12 + 1
"""Of the network below: 24 cosines and sines to 12 units, to 12 units, to the output; and the mean."""


def network() -> FourierNetwork:
    """A network that has learnt something, with detail finer than a cell of its grid."""
    made = FourierNetwork(WATER, REGION, BOUNDS, n_features=24, n_hidden=12, seed=1)
    generator = torch.Generator().manual_seed(2)
    vector = made.vector()
    made.load(vector + 0.3 * torch.randn(vector.shape, generator=generator))
    return made


def result_of(parameterization: Parameterization | None) -> Reconstruction:
    with torch.no_grad():
        medium = network()(GRID) if parameterization is None else parameterization(GRID)
    history = (Record("low", 2e5, 1, 0.5, 12.0, 1e-13, 1, 0.25),)
    field = None if parameterization is None else trained(parameterization)
    return Reconstruction(medium, WATER, REGION, history, Status.FINISHED, "Done.", {"seed": "1"}, field)


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    io.save(result_of(network()), tmp_path / "result.h5")
    return tmp_path / "result.h5"


def run(*words: object) -> int:
    """Run one command in this process and return its exit code."""
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that a wrong command says."""
    assert run("resample", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def loaded(path: Path) -> Reconstruction:
    thing = io.load(path)
    assert isinstance(thing, Reconstruction)
    return thing


def test_progress_is_told_where_there_is_more_than_a_moment_of_work(
    result_file, tmp_path, capsys, monkeypatch
):
    words = ("resample", result_file, "--spacing", "0.5mm", "-o", tmp_path / "fine.h5")
    assert run(*words) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("usct.parameterization.catalogue._STRIP", 500)
    assert run(*words) == 0
    assert capsys.readouterr().err == "usct: Sampling the trained field\n"
    assert run(*words, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_a_network_is_evaluated_at_the_new_points(result_file, tmp_path, capsys):
    assert run("resample", result_file, "--spacing", "0.25mm", "-o", tmp_path / "fine.h5") == 0
    told = capsys.readouterr().out
    assert (
        f"121 x 97 cells of 0.25 mm, sampled from the trained field (fourier, {N_PARAMETERS} parameters)"
        in told
    )
    fine, coarse = loaded(tmp_path / "fine.h5"), loaded(result_file)
    assert fine.medium.grid == Grid((121, 97), 0.25e-3, GRID.origin)
    with torch.no_grad():
        expected = network()(fine.medium.grid).sound_speed
    assert torch.equal(fine.medium.sound_speed, expected)
    interpolated = coarse.medium.resampled(fine.medium.grid).sound_speed
    assert (fine.medium.sound_speed - interpolated).abs().max() > 0.1
    assert (tmp_path / "fine.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_known_of_the_result_goes_along(result_file, tmp_path):
    assert run("resample", result_file, "--spacing", "0.5", "-o", tmp_path / "fine.h5") == 0
    fine, coarse = loaded(tmp_path / "fine.h5"), loaded(result_file)
    assert fine.history == coarse.history
    assert (fine.status, fine.message) == (coarse.status, coarse.message)
    assert fine.provenance["seed"] == "1"
    assert fine.provenance["resampled"].startswith("0.5 mm from result.h5, sampled from the trained field")
    assert fine.start.grid == fine.medium.grid
    assert torch.allclose(fine.start.sound_speed, WATER.sound_speed[0, 0])
    assert torch.equal(fine.region[::2, ::2], REGION)
    area = 0.25 * float(fine.region.sum())
    assert area == pytest.approx(float(REGION.sum()), rel=0.05)
    assert torch.equal(fine.field.arrays["first"], coarse.field.arrays["first"])


def test_through_a_coarse_grid_and_back_nothing_is_lost(result_file, tmp_path):
    assert run("resample", result_file, "--spacing", "3.7mm", "-o", tmp_path / "coarse.h5") == 0
    middle = loaded(tmp_path / "coarse.h5").medium.grid
    assert middle.shape == (9, 7)
    for axis in range(2):
        centre = 0.5 * (middle.origin[axis] + middle.last[axis])
        assert centre == pytest.approx(0.5 * (GRID.origin[axis] + GRID.last[axis]), abs=1e-12)
    assert run("resample", tmp_path / "coarse.h5", "--spacing", "1mm", "-o", tmp_path / "back.h5") == 0
    back, original = loaded(tmp_path / "back.h5"), loaded(result_file)
    assert back.medium.grid == GRID
    assert torch.equal(back.medium.sound_speed, original.medium.sound_speed)


def test_without_a_field_the_image_is_interpolated_and_this_is_said(tmp_path, capsys):
    io.save(result_of(None), tmp_path / "older.h5")
    assert run("resample", tmp_path / "older.h5", "--spacing", "0.5mm", "-o", tmp_path / "fine.h5") == 0
    assert "interpolated, for the file holds no trained field" in capsys.readouterr().out
    fine = loaded(tmp_path / "fine.h5")
    expected = loaded(tmp_path / "older.h5").medium.resampled(fine.medium.grid)
    assert torch.equal(fine.medium.sound_speed, expected.sound_speed)
    assert fine.field is None


def test_attenuation_and_density_are_kept(tmp_path):
    result = result_of(network())
    medium = dataclasses.replace(
        result.medium, attenuation=torch.full(GRID.shape, 2.5), density=torch.full(GRID.shape, 990.0)
    )
    io.save(dataclasses.replace(result, medium=medium), tmp_path / "result.h5")
    assert run("resample", tmp_path / "result.h5", "--spacing", "0.5", "-o", tmp_path / "fine.h5") == 0
    fine = loaded(tmp_path / "fine.h5").medium
    assert torch.allclose(fine.attenuation, torch.tensor(2.5), rtol=1e-3)
    assert torch.allclose(fine.density, torch.tensor(990.0))
    assert fine.sound_speed.shape == (61, 49)


def test_a_volume(tmp_path):
    grid = Grid.centred((5, 9, 11), 1e-3)
    start = Medium.homogeneous(grid, 1500.0)
    pixels = PixelGrid(start, torch.ones(grid.shape, dtype=torch.bool), BOUNDS)
    made = Reconstruction(start, start, pixels.region, (), Status.FINISHED, "Done.", field=trained(pixels))
    io.save(made, tmp_path / "volume.h5")
    assert run("resample", tmp_path / "volume.h5", "--spacing", "0.5", "-o", tmp_path / "fine.h5", "-q") == 0
    assert loaded(tmp_path / "fine.h5").medium.grid.shape == (9, 17, 21)


def test_quiet_says_nothing(result_file, tmp_path, capsys):
    assert run("resample", result_file, "--spacing", "2mm", "-o", tmp_path / "coarse.h5", "--quiet") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text", ["0.25mm", "0.25 mm", ".25", "0.00025m", "250um", "250µm", "250\u03bcm", "2.5e-4 m", "0.25MM"]
)
def test_lengths(text):
    assert resampling.parse_length(text) == 0.25e-3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "which is no length; give a length such as 0.25mm"),
        ("mm", "which is no length"),
        ("0.25cm", "which is no length"),
        ("a quarter", "which is no length"),
        ("0", "which is not above zero; give a length such as"),
        ("-1mm", "which is not above zero"),
        ("nan", "which is not above zero"),
        ("inf", "which is not above zero"),
        ("1e999m", "which is not above zero"),
        ("1e-999999999999", "no length|not above zero"),
    ],
)
def test_what_is_no_length_is_refused(text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        resampling.parse_length(text)
    assert repr(text) in str(caught.value)


def test_a_wrong_spacing_ends_in_one_line(result_file, tmp_path, capsys):
    output = tmp_path / "fine.h5"
    assert "--spacing is '0', which is not above zero" in complaint(
        capsys, result_file, "--spacing", "0", "-o", output
    )
    wide = complaint(capsys, result_file, "--spacing", "30mm", "-o", output)
    assert "--spacing is 30 mm and the image is 24 mm wide; give less." in wide
    tiny = complaint(capsys, result_file, "--spacing", "1e-300", "-o", output)
    assert "where 33554432 are the most" in tiny
    many = complaint(capsys, result_file, "--spacing", "1um", "-o", output)
    assert "--spacing is 0.001 mm, which makes 7.201e+08 cells where 33554432 are the most; give" in many
    assert not output.exists()


@pytest.mark.parametrize("shape", [(31, 25), (2, 400), (480, 480), (20, 30, 40)])
def test_the_remedy_for_too_many_cells_works_and_wastes_little(shape):
    with pytest.raises(InputError, match="are the most") as caught:
        resampling.spanning(Grid.centred(shape, 1e-3), 1e-7)
    advised = resampling.parse_length(str(caught.value).split("give ")[1].split(" or")[0])
    n_cells = math.prod(resampling.spanning(Grid.centred(shape, 1e-3), advised).shape)
    assert 0.8 * resampling.MOST_CELLS <= n_cells <= resampling.MOST_CELLS


def test_files_that_cannot_be_resampled(result_file, tmp_path, capsys):
    phantom = Phantom(WATER, REGION.to(torch.int16), ("water", "tissue"))
    io.save(phantom, tmp_path / "phantom.h5")
    words = ("--spacing", "0.5mm", "-o")
    assert "this is a phantom; give a result" in complaint(
        capsys, tmp_path / "phantom.h5", *words, tmp_path / "fine.h5"
    )
    assert "the output is also an input" in complaint(capsys, result_file, *words, result_file)
    assert "end it with .h5" in complaint(capsys, result_file, *words, tmp_path / "fine.png")
    assert "there is no such file" in complaint(capsys, tmp_path / "none.h5", *words, tmp_path / "fine.h5")


def change_field(path: Path, result: Reconstruction, **changes: object) -> None:
    io.save(dataclasses.replace(result, field=dataclasses.replace(result.field, **changes)), path)


def test_a_field_that_is_none_ends_in_one_line(tmp_path, capsys):
    result, path = result_of(network()), tmp_path / "result.h5"
    words = (path, "--spacing", "0.5mm", "-o", tmp_path / "fine.h5")
    change_field(path, result, version=2)
    told = complaint(capsys, *words)
    assert (
        f"{path}: the field was saved by another version of usct (field version 2, this one reads 1);" in told
    )
    change_field(path, result, name="wavelets")
    assert "unknown representation 'wavelets'" in complaint(capsys, *words)
    arrays = {**result.field.arrays, "layer1": torch.full((12, 1), torch.inf)}
    change_field(path, result, arrays=arrays)
    assert "'layer1' holds values that are not finite; reconstruct again." in complaint(capsys, *words)
    volume = Grid.centred((3, 3, 3), 1e-3)
    change_field(path, result, grid=volume)
    assert "the field has 3 axes and the image 2" in complaint(capsys, *words)
    assert not (tmp_path / "fine.h5").exists()


def test_weights_that_make_no_sound_speed_end_in_one_line(tmp_path, capsys):
    pixels = PixelGrid(WATER, REGION, BOUNDS)
    result, path = result_of(pixels), tmp_path / "result.h5"
    change_field(
        path, result, arrays={**trained(pixels).arrays, "background": torch.zeros(GRID.shape).double()}
    )
    told = complaint(capsys, path, "--spacing", "0.5mm", "-o", tmp_path / "fine.h5")
    assert "sound_speed" in told


def test_info_tells_of_the_field(result_file, capsys):
    assert run("info", result_file) == 0
    assert f"fourier, {N_PARAMETERS} parameters" in capsys.readouterr().out


def test_the_file_holds_arrays_alone(result_file):
    kinds = set()
    with h5py.File(result_file, "r") as file:
        file["field"].visititems(
            lambda _, item: kinds.add(item.dtype.kind) if hasattr(item, "dtype") else None
        )
    assert kinds <= set("bf")
