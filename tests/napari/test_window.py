"""The plug-in in a real window, each script in a process of its own."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def test_everything_opens_without_a_complaint(drive, tmp_path):
    drive("opening", tmp_path)


def test_a_click_through_from_scan_to_comparison_with_pictures(drive, tmp_path):
    assert "longest stalls" in drive("click_through", tmp_path)
    for name in ("scan", "reconstruct", "kernels", "compare"):
        picture = tmp_path / f"{name}.png"
        values = np.asarray(Image.open(picture).convert("L"), dtype=float)
        # Both halves show something: the image, and the panel beside it.
        width = values.shape[1]
        assert values[:, width // 4 : width // 2].std() > 5
        assert values[:, -width // 5 :].std() > 5
        assert picture.stat().st_size < 300_000
