"""Masks of other people's skulls become heads; pieces of skull are refused."""

import h5py
import numpy as np
import pytest

from tests.bench.masks import head_of
from usct.errors import InputError


def masks(path, gap=False):
    y, x = np.mgrid[-80:81, -70:71]
    radius = np.hypot(y / 78, x / 65)
    skull = (radius < 1) & (radius > 0.88)
    if gap:
        skull &= y < 0
    with h5py.File(path, "w") as file:
        file["skull_mask"] = np.repeat(skull[:, :, None], 3, axis=2).astype(np.uint8)
        file["brain_mask"] = np.repeat((radius <= 0.88)[:, :, None], 3, axis=2).astype(np.uint8)
        file["dx"] = np.array([[1.0]])
    return path


def test_a_slice_becomes_a_head_with_a_haemorrhage(tmp_path):
    head = head_of(masks(tmp_path / "masks.mat"), 1)
    names = {head.tissues[n] for n in head.labels.unique().tolist()}
    assert names == {"water", "cortical", "white", "haemorrhage"}
    lesion = head.labels == head.tissues.index("haemorrhage")
    area = float(lesion.sum()) * head.medium.grid.spacing**2
    assert 2 * (area / np.pi) ** 0.5 == pytest.approx(16e-3, rel=0.1)
    assert float(head.medium.sound_speed[0, 0]) == 1500


def test_what_encloses_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="encloses no brain"):
        head_of(masks(tmp_path / "open.mat", gap=True), 1)
    with pytest.raises(InputError, match="slice 7"):
        head_of(masks(tmp_path / "masks.mat"), 7)
