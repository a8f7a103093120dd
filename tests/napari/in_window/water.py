"""A scan, and a shot in water alone as a second file: neither hides the other."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from usct_napari.picturing import Window
from usct_napari.side_by_side import pile, spread
from usct_napari.sourcing import source_of

from tests.napari.in_window.small import traces_file
from usct import io
from usct.medium import Medium

folder = Path(sys.argv[1])
scan_file, water_file = traces_file(folder), folder / "water.h5"
scan = io.load(scan_file)
still = Medium.homogeneous(scan.truth.grid, 1500.0)
# Where the scan has a dead element, the shot in water has none.
values = scan.data.values.clone()
values[3], values[:, 3] = values[4], values[:, 4]
shot = replace(scan.data, values=values, valid=torch.ones_like(scan.data.valid))
io.save(replace(scan, data=shot, truth=still), water_file)
window = Window()
for path in (scan_file, water_file):
    window.open(path)
window.wait(0.6)
layers = [(x, source_of(x)) for x in window.viewer.layers]
recordings = [layer for layer, source in layers if source.is_recording]
assert [layer.name for layer in recordings] == ["traces · pulses", "traces · water"]
spans = [layer.extent.world[:, -1] for layer in recordings]
assert spans[0][1] < spans[1][0]
# Both are in view, and named from left to right.
middle, size = (
    window.viewer.scene.camera.center[-1],
    window.viewer.canvas.size[1] / window.viewer.scene.camera.zoom,
)
assert spans[-1][1] < middle + 0.5 * size
assert [layer.name_overlay.position for layer in recordings] == ["top_center", "top_right"]
assert all(layer.name_overlay.visible for layer in recordings)
seen = {source.path: layer for layer, source in layers if layer.visible and source.quantity == "sound_speed"}
# Water is the same everywhere, and would cover the other's truth.
assert set(seen) == {scan_file}
assert seen[scan_file].name_overlay.visible
# One ring, which shows the dead element.
(ring,) = [layer for layer, source in layers if layer.visible and source.quantity == "elements"]
assert np.flatnonzero(ring.features["dead"]).tolist() == [3]
window.picture(folder / "water.png")
spread(window.viewer, [recordings])
window.wait(0.3)
pile(window.viewer)
assert ring.visible
assert sum(x.visible for x, source in layers if source.quantity == "elements") == 1
# A file with a shot of its own finds room for both.
io.save(replace(scan, water=shot), folder / "whole.h5")
window.open(folder / "whole.h5")
recordings = [x for x in window.viewer.layers if (s := source_of(x)) is not None and s.is_recording]
spans = sorted(tuple(layer.extent.world[:, -1]) for layer in recordings)
assert len(spans) == 4
assert all(before[1] < after[0] for before, after in zip(spans[:-1], spans[1:], strict=True))
window.viewer.close()
