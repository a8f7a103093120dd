"""napari's slider below the picture: of what is seen alone, and one with the slider or the choice in a panel."""

import sys
from pathlib import Path

import numpy as np
from usct_napari.picturing import Window
from usct_napari.sourcing import source_of

from tests.diagnosis_cases import make_diagnosis
from tests.napari.in_window.small import spectra_file, traces_file
from usct import io

folder = Path(sys.argv[1])
kernels = folder / "kernels.h5"
made = make_diagnosis()
io.save(made, kernels)
window = Window()
viewer = window.viewer


def layer_of(quantity: str):
    """The layer that shows something."""
    (found,) = [x for x in viewer.layers if (s := source_of(x)) is not None and s.quantity == quantity]
    return found


def slider():
    """napari's own, if it is seen."""
    (shown,) = [x for x in viewer.window._qt_viewer.dims.slider_widgets if x.isVisible()] or [None]
    return shown


def move(step: int) -> None:
    """Move napari's slider as the mouse does."""
    slider().slider.setValue(step)
    window.wait(0.1)


# The transmit and the element of the Scan panel are one.
window.open(traces_file(folder))
panel = window.panel("Scan")
window.wait(until=lambda: panel.scan is not None)
window.wait(0.2)
assert slider().axis_label.text() == "transmit"
move(5)
assert panel.element == 5
assert panel.status.text().startswith("Element 5 sent")
panel.show_element(9)
assert slider().slider.value() == 9
window.close_panel(panel)
move(3)

# Spectra, traces and patterns have different numbers of planes; the slider is of what is seen.
window.open(spectra_file(folder))
window.open(kernels)
panel = window.panel("Kernels")
window.wait(until=lambda: panel.diagnosis is not None)
window.wait(0.5)
assert panel.show_box.currentText() == "Image"
assert slider() is None
n_modes = len(made.image_kernel.modes)
panel.mode.setValue(7)
window.wait(0.3)
assert panel.show_box.currentText() == "Pattern"
assert slider().axis_label.text().startswith("pattern")
assert (slider().slider.value(), slider().slider.maximum()) == (6, n_modes - 1)
for view, shown in (("Pattern", ["modes"]), ("Pattern in image and data", ["modes", "data_modes"])):
    panel.show_box.setCurrentText(view)
    window.wait(0.5)
    seen = [x for x in viewer.layers if x.visible and x.ndim == 3]
    assert [source_of(x).quantity for x in seen] == shown
    move(2)
    assert panel.mode.value() == 3
    assert panel.mode_label.text().startswith(f"3 of {n_modes} ")
    panel.mode.setValue(5)
    window.wait(0.1)
    assert slider().slider.value() == 4
    for layer in seen:
        np.testing.assert_array_equal(layer._slice.image.raw, layer.data[4])

# Each kind of stack returns to its place.
panel.show_box.setCurrentText("Image")
window.wait(0.3)
assert slider() is None
viewer.layers["image [m/s] · kernels"].visible = False
layer_of("traces").visible = True
window.wait(0.1)
assert slider().axis_label.text() == "transmit"
assert slider().slider.value() == 3
layer_of("traces").visible = False
assert panel.mode.value() == 5
panel.show_box.setCurrentText("Pattern")
window.wait(0.3)
assert slider().slider.value() == 4
# A layer that comes or goes changes nothing of it.
viewer.add_image(np.zeros((40, 3, 3)), visible=False, scale=(0.5, 1, 1), units=("", "mm", "mm"))
window.wait(0.2)
assert (slider().slider.value(), slider().slider.maximum()) == (4, n_modes - 1)
assert panel.mode.value() == 5
window.picture(folder / "sliders.png")
viewer.close()
