"""What comes a second time: an element that sends again, and a panel that is opened again."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from usct_napari.picturing import Window
from usct_napari.sourcing import source_of

from tests.napari.in_window.small import traces_file
from usct import io

folder = Path(sys.argv[1])
scan, path = io.load(traces_file(folder)), folder / "again.h5"
sent = torch.tensor([0, 1, 2, 1, 4, 1])
data = replace(scan.data, values=scan.data.values[sent], valid=scan.data.valid[sent])
io.save(replace(scan, array=replace(scan.array, transmits=sent), data=data), path)
window = Window()
viewer = window.viewer
window.open(path)

# Every transmit is reached, whichever element sent it.
panel = window.panel("Scan")
window.wait(until=lambda: panel.scan is not None)
window.wait(0.2)
(traces,) = [x for x in viewer.layers if (s := source_of(x)) is not None and s.quantity == "traces"]
(slider,) = [x.slider for x in viewer.window._qt_viewer.dims.slider_widgets if x.isVisible()]
for place, element in enumerate(sent.tolist()):
    slider.setValue(place)
    window.wait(0.1)
    assert (slider.value(), panel.element) == (place, element), (place, slider.value())
    np.testing.assert_array_equal(traces._slice.image.raw, traces.data[place])
    chosen = scan.array.positions[element].numpy() * 1e3
    np.testing.assert_allclose(viewer.layers["chosen element"].data[0], chosen)
# An element that is chosen in the panel is shown where it sent first.
panel.show_element(2)
assert slider.value() == 2
panel.show_element(1)
assert slider.value() == 1
window.close_panel(panel)


def drag(length: int) -> float:
    """Draw the line with Shift and the mouse; its length [mm]."""
    canvas, shift = viewer.window._qt_viewer.canvas.native, Qt.KeyboardModifier.ShiftModifier
    places = [QPoint(canvas.width() // 3 + x, canvas.height() // 2) for x in (0, length // 2, length)]
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, shift, places[0])
    for to in places[1:]:
        mouse = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, shift
        QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, QPointF(to), *mouse))
        window.wait(0.1)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, shift, places[-1])
    window.wait(0.3)
    return float(np.ptp(viewer.layers["profile"].data[0][:, -1]))


def move(reach: float) -> int:
    """Move the line; how often the panel is told."""
    told = []
    panel.line._moved = lambda: told.append(reach)
    viewer.layers["profile"].data = [np.array([[5.0, -reach], [5.0, reach]])]
    panel.line._moved = panel._draw_profiles
    return len(told)


def has_curves() -> bool:
    """Whether the Compare panel shows images along a line."""
    return bool(panel.profiles.axes[0].get_lines())


# The line outlives the panel, and whichever panel is open follows it.
for lengths in ((20, 40), (60, 30)):
    panel = window.panel("Compare")
    window.wait(until=has_curves)
    for length in lengths:
        drawn = drag(length)
        assert drawn > 0
        assert np.isclose(np.ptp(panel.profiles.axes[0].get_lines()[0].get_xdata()), drawn), (lengths, length)
    # However often images are compared anew, a move is told as often as before.
    before, image = move(8.0), panel.chosen[0]
    panel.line.make(image.medium.grid, image.path)
    assert move(9.0) == before > 0
    window.close_panel(panel)
viewer.close()
