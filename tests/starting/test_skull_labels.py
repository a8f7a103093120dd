"""Start models from segmented heads and from maps of sound speed, by commands."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from tests.io.test_public_phantoms import nifti
from tests.starting.test_skull_files import usct
from usct import api, io, phantom
from usct.acquisition import TransducerArray
from usct.cli.paths import load_start
from usct.errors import InputError
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction


@pytest.fixture(scope="module")
def head() -> Phantom:
    return phantom.make("head_haemorrhage", seed=1, spacing=1e-3)


def test_a_phantoms_own_skull_is_kept_and_its_brain_forgotten(
    tmp_path: Path, head: Phantom, capsys: pytest.CaptureFixture[str]
) -> None:
    io.save(head, tmp_path / "head.h5")
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    body = (head.labels != 0).numpy()
    points = head.medium.grid.points().numpy()
    rim = []
    for angle in angles:
        toward = points[body] @ np.array([np.sin(angle), np.cos(angle)])
        across = np.abs(points[body] @ np.array([np.cos(angle), -np.sin(angle)]))
        rim.append(points[body][across < 1e-3][toward[across < 1e-3].argmax()])
    moved = 1e3 * np.array(rim) + [4.0, -3.0]
    (tmp_path / "scalp.csv").write_text("\n".join(f"{y:.2f},{x:.2f}" for y, x in moved), encoding="utf-8")
    words = ["--labels", tmp_path / "head.h5", "--surface", tmp_path / "scalp.csv", "--spacing-mm", 1]
    assert usct("start", "skull", *words, "-o", tmp_path / "start.h5") == 0
    said = capsys.readouterr().out
    assert "cortical 2800 ± 200 m/s" in said and "40 points on the scalp" in said
    made = io.load(tmp_path / "start.h5")
    assert isinstance(made, Phantom)
    assert float(made.provenance["registration_residual"].split()[0]) < 1.0
    skull = (made.labels == made.tissues.index("skull")).numpy()
    true = (head.medium.sound_speed > 1750).numpy()
    middle = [
        grid.points().numpy()[mask].mean(axis=0)
        for grid, mask in ((made.medium.grid, skull), (head.medium.grid, true))
    ]
    np.testing.assert_allclose(middle[0] - middle[1], [4e-3, -3e-3], atol=1e-3)
    brain = made.labels == made.tissues.index("brain")
    speeds = made.medium.sound_speed[brain]
    assert float((speeds - 1560.0).abs().median()) < 1e-6
    # Cells at the skull hold some of its bone; no other differs.
    assert float(((speeds - 1560.0).abs() > 1.0).double().mean()) < 0.15
    bone = [
        float(one.sound_speed[torch.from_numpy(mask)].mean())
        for one, mask in ((made.medium, skull), (head.medium, true))
    ]
    assert bone[0] == pytest.approx(bone[1], rel=0.05)


def test_labels_of_another_program_with_their_names(
    tmp_path: Path, head: Phantom, capsys: pytest.CaptureFixture[str]
) -> None:
    bone, body = (head.medium.sound_speed > 1750).numpy(), (head.labels != 0).numpy()
    labels = np.where(bone, 7, np.where(body, 12, 50)).astype(np.uint8)[::2, ::2]
    nifti(tmp_path / "head.nii.gz", np.stack([np.full_like(labels, 50), labels, labels]), 2)
    names = tmp_path / "names.txt"
    names.write_text("50 water\n7 cortical\n12 white\n", encoding="utf-8")
    words = ["start", "skull", "--labels", tmp_path / "head.nii.gz", "-o", tmp_path / "start.h5"]
    words += ["--radius-mm", 30, "--spacing-mm", 0.5]
    assert usct(*words, "--names", names) == 0
    made = io.load(tmp_path / "start.h5")
    assert isinstance(made, Phantom)
    assert set(made.labels.unique().tolist()) == {0, 1, 2, 3}
    skull = made.medium.sound_speed[made.labels == made.tissues.index("skull")]
    assert float(skull.max()) == pytest.approx(2800.0)
    capsys.readouterr()
    for more, expected in (
        (["--names", names, "--height-mm", 0], "as fast as bone"),
        (["--names", names, "--height-mm", 9], "--height-mm: height 9 mm lies outside the volume"),
        ([], "store it in m/s"),
        (["--ct", tmp_path], "give --ct or --labels"),
    ):
        assert usct(*words, *more) == 2
        said = capsys.readouterr().err
        assert expected in said and said.count("\n") == 1


def test_a_head_in_its_place_is_not_moved(
    tmp_path: Path, head: Phantom, capsys: pytest.CaptureFixture[str]
) -> None:
    io.save(head, tmp_path / "head.h5")
    words = ["start", "skull", "--labels", tmp_path / "head.h5", "--in-place", "-o", tmp_path / "start.h5"]
    assert usct(*words, "--spacing-mm", 1) == 0
    assert "lies in the ring already" in capsys.readouterr().out
    made = io.load(tmp_path / "start.h5")
    assert isinstance(made, Phantom)
    bone = made.medium.sound_speed > 2000
    there = head.medium.resampled(made.medium.grid).sound_speed > 2000
    assert float((bone & there).sum() / (bone | there).sum()) > 0.95
    assert usct(*words, "--surface", tmp_path / "none.csv") == 2
    assert "told twice" in capsys.readouterr().err


def maps_of(folder: Path, speed: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[Path]:
    """One map in every format that carries one."""
    medium = phantom.make("disk", spacing=2e-3).medium
    made = Phantom(
        type(medium)(
            type(medium.grid)(speed.shape, float(x[1] - x[0]), (float(y[0]), float(x[0]))),
            torch.from_numpy(speed),
        ),
        torch.zeros(speed.shape, dtype=torch.int16),
        ("water",),
    )
    io.save(made, folder / "native.h5")
    with h5py.File(folder / "plain.h5", "w") as file:
        file["sound_speed"], file["x"], file["y"] = speed, x, y
    scipy.io.savemat(folder / "matlab.mat", {"C": speed, "x": x, "y": y})
    files = [folder / name for name in ("native.h5", "plain.h5", "matlab.mat")]
    pytest.importorskip("nibabel", reason="NIfTI is written by nibabel")
    for name in ("export.nii", "export.nii.gz"):
        assert usct("export", folder / "native.h5", folder / name) == 0
        files.append(folder / name)
    return files


def test_a_start_is_the_same_in_every_format(tmp_path: Path) -> None:
    y, x = np.linspace(-0.09, 0.11, 101), np.linspace(-0.10, 0.12, 111)
    speed = 1500.0 + 40 * np.exp(-((y[:, None] - 0.02) ** 2 + (x - 0.03) ** 2) / 0.02**2)
    for path in maps_of(tmp_path, speed, x, y):
        start = load_start(path)
        np.testing.assert_allclose(start.sound_speed.numpy(), speed, atol=1e-3, err_msg=path.name)
        np.testing.assert_allclose(start.grid.origin, (y[0], x[0]), atol=1e-6, err_msg=path.name)
        assert start.grid.spacing == pytest.approx(2e-3), path.name


def test_a_nifti_map_of_the_other_handedness_is_turned(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="NIfTI is written by nibabel")
    speed = 1500.0 + np.arange(12.0).reshape(3, 4)
    right = np.diag([2.0, 2.0, 2.0, 1.0])
    right[:3, 3] = [-3.0, -2.0, 0.0]
    nibabel.save(nibabel.Nifti1Image(speed.T[..., None], right), tmp_path / "ras.nii")
    start = load_start(tmp_path / "ras.nii")
    np.testing.assert_allclose(start.sound_speed.numpy(), speed[::-1, ::-1])
    np.testing.assert_allclose(start.grid.origin, (-2e-3, -3e-3), atol=1e-9)
    leaning = right.copy()
    leaning[0, 1] = 1.0
    nibabel.save(nibabel.Nifti1Image(speed.T[..., None], leaning), tmp_path / "oblique.nii")
    with pytest.raises(InputError, match="oblique"):
        load_start(tmp_path / "oblique.nii")


def test_a_nifti_map_starts_a_reconstruction(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="NIfTI is written by nibabel")
    disks = phantom.make("two_disks", spacing=2e-3)
    scan = api.simulate(disks, TransducerArray.ring(24, 0.11), [40e3], snr_db=None)
    io.save(scan, tmp_path / "scan.h5")
    io.save(disks, tmp_path / "disks.h5")
    assert usct("export", tmp_path / "disks.h5", tmp_path / "start.nii.gz") == 0
    words = ["--start", tmp_path / "start.nii.gz", "-o", tmp_path / "result.h5", "-q"]
    words += ["--set", "schedule.frequencies_mhz=[0.04]", "--set", "schedule.iterations=1"]
    assert usct("reconstruct", tmp_path / "scan.h5", *words) == 0
    result = io.load(tmp_path / "result.h5")
    assert isinstance(result, Reconstruction)
    assert result.provenance["start"] == "start.nii.gz"
    wanted = disks.medium.resampled(result.start.grid).sound_speed
    assert float((result.start.sound_speed - wanted).abs().max()) < 3.0
