"""Open a scan, reconstruct it, cancel, resume, look at the kernels: everything by the buttons that people press."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from usct_napari.background import waited
from usct_napari.picturing import Window, picture_comparison, picture_kernels, picture_scan
from usct_napari.preparing import prepare
from usct_napari.sourcing import source_of

from tests.napari.in_window.small import spectra_file, traces_file
from usct import io
from usct.config import load_config, preset_names
from usct.io.dicom import read_dicom

LONGEST = 0.5
"""The window may not answer for this long [s]."""

folder = Path(sys.argv[1])
complaints = []
notification_manager.notification_ready.connect(
    lambda n: complaints.append(n.message) if n.severity >= NotificationSeverity.WARNING else None
)
window = Window()


def cells(count: int) -> list[str]:
    """Names of the layers in the grid's cells, row by row, once there are so many."""
    layers, grid = window.viewer.layers, window.viewer.canvas.grid
    window.wait(until=lambda: window.n_cells == count)
    assert {layer.name for layer in layers if layer.visible} == {
        layer.name for layer in layers if layer.name_overlay.visible
    }
    return [layers[n].name for _, inside in grid.iter_viewboxes(layers) for n in inside]


def leaves(settings: dict, prefix: str = "") -> set[str]:
    """Names of all settings, those of sections within sections too."""
    parts = (
        leaves(part, f"{prefix}{name}.") if isinstance(part, dict) else {f"{prefix}{name}"}
        for name, part in settings.items()
    )
    return set().union(*parts)


def plain_napari() -> None:
    """Draw, by napari alone, what usct draws: by software each kind of picture takes long the first time."""
    viewer, steps = window.viewer, []
    place = {"units": ("mm", "mm"), "visible": False}
    steps.append(lambda: viewer.add_image(np.eye(9), colormap="gray", **place))
    steps.append(lambda: viewer.add_image(np.eye(9), colormap="magma", **place))
    steps.append(lambda: viewer.add_labels(np.eye(9, dtype=int), **place))
    steps.append(lambda: viewer.add_points(np.eye(2), features={"index": [0, 1]}, **place))
    steps.append(lambda: viewer.add_shapes([np.eye(2)], shape_type="line", **place))
    steps += [partial(show, n, part) for n in range(5) for part in ("", "name_overlay", "colorbar")]
    steps.append(lambda: setattr(viewer.canvas.grid, "enabled", True))
    for step in steps:
        with window.watched():
            step()
        window.wait(0.1)
    viewer.canvas.grid.enabled = False
    viewer.layers.clear()
    window.wait(0.1)


def show(number: int, part: str) -> None:
    """Make a layer visible, or a part of it."""
    layer = window.viewer.layers[number]
    shown = getattr(layer, part, None) if part else layer
    if shown is not None:
        shown.visible = True


# Half a second is the longest that the window may not answer. In processor time, since others may hold the machine up.
stalls = {}
# What napari compiles for a first layer of a kind, as usct has it do in a thread.
waited(lambda: prepare("image", "labels", "points", "shapes"))
window.take_stalls()
plain_napari()
stalls["napari alone, first drawing"] = window.take_stalls()
picture_scan(window, traces_file(folder), folder / "scan.png")
assert window.viewer.layers["elements · pulses"].features["dead"].to_numpy().nonzero()[0].tolist() == [3]
stalls["scan"] = window.take_stalls()
window.viewer.layers.clear()
window.open(spectra_file(folder))
panel = window.panel("Reconstruct")
stalls["panel"] = window.take_stalls()

# Every setting of the command line has a row; nothing that was not touched is set.
model = load_config("breast", None, []).model_dump(exclude={"description", "preset"})
assert panel.form.keys == leaves(model), panel.form.keys ^ leaves(model)
for preset in preset_names():
    panel.form.preset.setCurrentText(preset)
    assert panel.form.config() == load_config(preset, None, [])
panel.form.preset.setCurrentText("breast")
panel.form.set_value("schedule.frequencies_mhz", "0.1, 0.15")
assert panel.form.config().schedule.frequencies_mhz == (0.1, 0.15)
panel.form.set_value("schedule.frequencies_mhz", "")

# Settings that cannot be are said to be so, and nothing can be started.
panel.form.set_value("schedule.iterations", "none at all")
assert "schedule.iterations" in panel.complaint.text()
assert not panel.start.isEnabled()
panel.form.set_value("schedule.iterations", "4")
assert panel.complaint.text() == ""
assert panel.command.text() == (
    "usct reconstruct disc.h5 -o disc-tailored.h5 --preset breast --set schedule.iterations=4"
)

# Start, and cancel after the first update; the image grew, the checkpoint is there.
window.take_stalls()
panel.start.click()
window.wait(until=lambda: len(panel.run.updates()) >= 1)
panel.pause.click()
window.wait(until=lambda: panel.run.state()[0] == "paused")
window.wait(0.5)
assert any("(live)" in layer.name for layer in window.viewer.layers)
window.show_only("sound_speed", "elements")
window.picture(folder / "reconstruct.png")
panel.cancel.click()
window.wait(until=lambda: panel.run.state()[0] == "cancelled")
window.wait(0.5)
done = len(panel.run.updates())
assert 1 <= done < 8, done
assert panel.start.text() == "Resume"
stalls["start and cancel"] = window.take_stalls()

# Another panel, as after a restart of the program, finds the run and goes on with it.
window.close_panel(panel)
panel = window.panel("Reconstruct")
panel.form.set_value("schedule.iterations", "4")
window.wait(0.5)
assert panel.start.text() == "Resume", panel.start.text()
window.take_stalls()
panel.start.click()
result = folder / "disc-tailored.h5"
opened = lambda path: any(getattr(source_of(x), "path", None) == path for x in window.viewer.layers)  # noqa: E731
window.wait(until=lambda: opened(result) and not any("(live)" in x.name for x in window.viewer.layers))
stalls["resume and open"] = window.take_stalls()
updates = panel.run.updates()
assert len(updates) > done
assert [update.iteration for update in updates] == list(range(1, len(updates) + 1))
assert panel.run.state()[0] == "finished"
window.close_panel(panel)

# What the data support; a click into the image.
picture_kernels(window, folder / "kernels.png", folder / "maps.png")
panel = window.panel("Kernels")
window.wait(until=lambda: panel.diagnosis is not None)
assert "numbers" in panel.words.toPlainText()
panel.mode.setValue(2)
window.wait(0.3)
in_image, in_data = (
    window.viewer.layers[f"patterns{where} · disc-tailored-kernels"]
    for where in ("", " in the data: transmits down, receives across")
)
assert in_image.visible
assert not window.viewer.layers["sound speed [m/s] · disc-tailored"].visible
# How fine and how sure, beside the image itself; the camera is one for all.
panel.show_box.setCurrentText("Image, resolution, uncertainty")
assert cells(3) == [
    f"{what} · disc-tailored-kernels" for what in ("image [m/s]", "resolution [mm]", "uncertainty [m/s]")
]
stalls["kernels and maps"] = window.take_stalls()
# A pattern on both sides: in the image, and in the data that see it.
panel.show_box.setCurrentText("Pattern in image and data")
assert cells(2) == [in_image.name, in_data.name]
assert window.viewer.dims.point[0] == panel.mode.value() - 1 == 1
# The spectra of other representations are laid over it.
panel.compare.click()
assert not panel.compare.isEnabled()
window.wait(until=lambda: not panel.command.is_running)
window.wait(0.5)
assert panel.status.text().startswith("Compared pixel, tailored"), panel.status.text()
panel.tabs.setCurrentWidget(panel.plots["Spectrum"])
_, labels = panel.plots["Spectrum"].axes[0].get_legend_handles_labels()
assert len(labels) >= 4, labels
assert any("end" in label for label in labels), labels
window.picture(folder / "spectra.png")
stalls["representations"] = window.take_stalls()
panel.show_box.setCurrentText("Pattern")
assert not window.viewer.canvas.grid.enabled
assert window.viewer.layers["elements · disc"].visible
panel.ask_at((5e-3, 0.0))
window.wait(until=lambda: "point spread at a place" in window.viewer.layers)
window.wait(0.5)
spread = window.viewer.layers["point spread at a place"]
row, column = (round(v) for v in spread.world_to_data((5.0, 0.0)))
assert abs(spread.data[row - 2 : row + 3, column - 2 : column + 3]).max() == spread.contrast_limits[1]
panel.ask_at((1.0, 1.0))
window.wait(until=lambda: not panel._busy)
assert "click inside" in panel.status.text()

window.close_panel(panel)

# Saved as File > Save Selected Layers does: the map for other programs, the whole file for usct.
(speed,) = [
    x
    for x in window.viewer.layers
    if x.name == "sound speed [m/s] · disc-tailored" and source_of(x).path == result
]
(parametric,) = speed.save(str(folder / "speed.dcm"), plugin="usct")
(image,) = read_dicom(Path(parametric))
reached = io.load(result)
np.testing.assert_allclose(image.values, reached.medium.sound_speed, rtol=1e-6)
(native,) = speed.save(str(folder / "saved.h5"), plugin="usct")
assert torch.equal(io.load(native).medium.sound_speed, reached.medium.sound_speed)

stalls["places and saving"] = window.take_stalls()
panel = picture_comparison(window, folder / "compare.png")
images = [*(f"{what} [m/s] · disc-tailored" for what in ("start", "sound speed")), "truth [m/s] · disc"]
errors = [f"error [m/s] · disc-tailored{w}" for w in (": start", "")]
# The truth has no error: its column, the last, ends with it.
assert cells(5) == [name for pair in zip(images, [*errors, None], strict=True) for name in pair if name]
reached, truth = io.load(result), io.load(folder / "disc.h5").truth
expected = reached.medium.sound_speed - truth.resampled(reached.medium.grid).sound_speed
np.testing.assert_allclose(window.viewer.layers[errors[1]].data, expected, atol=1e-3)
# A line that is drawn anew is followed.
across = window.viewer.layers["profile"]
across.data = [np.array([[5.0, -10.0], [5.0, 10.0]])]
window.wait(0.3)
curves = panel.profiles.axes[0].get_lines()
assert len(curves) == 3
assert np.isclose(np.ptp(curves[0].get_xdata()), 20.0), np.ptp(curves[0].get_xdata())
assert "(-10, 5) to (10, 5)" in panel.profiles.axes[0].get_xlabel()
# Or with Shift and the mouse, in any cell; nothing else moves.
canvas, centre = window.viewer.window._qt_viewer.canvas.native, window.viewer.scene.camera.center
cell = canvas.width() // window.viewer.canvas.grid.actual_shape(window.viewer.layers)[1]
places = [QPoint(cell + cell // 2 + x, canvas.height() // 4) for x in (-30, 10, 30)]
QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, places[0])
for place in places[1:]:
    mouse = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier
    QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, QPointF(place), *mouse))
    window.wait(0.1)
QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, places[-1])
window.wait(0.3)
drawn = np.diff(across.data[0], axis=0)[0]
assert np.allclose(drawn, [0.0, 60 / window.viewer.scene.camera.zoom], atol=0.1), drawn
assert window.viewer.scene.camera.center == centre
assert np.isclose(np.ptp(panel.profiles.axes[0].get_lines()[0].get_xdata()), drawn[1])
fell = panel.history.axes[0].get_lines()[0].get_ydata()
assert list(fell) == [record.objective for record in reached.history]
panel.errors.setChecked(False)
assert cells(3) == images
panel.beside.setChecked(False)
assert not window.viewer.canvas.grid.enabled
panel.beside.setChecked(True)
assert cells(3) == images
window.close_panel(panel)
assert not window.viewer.canvas.grid.enabled
stalls["comparison"] = window.take_stalls()
for phase, (clock, work, own) in stalls.items():
    times = f"{clock:.2f} s, of the processor {work:.2f} s, without napari's drawing {own:.2f} s"
    sys.stdout.write(f"longest stall, {phase}: {times}\n")
drawing = stalls.pop("napari alone, first drawing").work
assert max(stall.own for stall in stalls.values()) < LONGEST
# Nor may much be drawn at once, however long drawing takes here.
assert max(stall.work for stall in stalls.values()) < max(LONGEST, drawing)
assert window.viewer.layers.extent.units is not None
window.viewer.close()
assert not complaints, complaints
