"""Everything that can be opened, opened as people do, and the manifest."""

import shutil
import sys
import time
from pathlib import Path

import npe2
from napari.utils.notifications import NotificationSeverity, notification_manager
from pydicom.data import get_testdata_file
from qtpy.QtCore import QTimer
from usct_napari.showing import PANELS, open_window

from tests.diagnosis_cases import make_diagnosis
from tests.napari.in_window.small import phantom, spectra_file, traces_file
from usct import io

folder = Path(sys.argv[1])
complaints = []
notification_manager.notification_ready.connect(
    lambda n: complaints.append(n.message) if n.severity >= NotificationSeverity.WARNING else None
)
manifest = npe2.PluginManifest.from_distribution("usct")
manifest.validate_imports()
named = {widget.display_name for widget in manifest.contributions.widgets}
assert named == {name for names in PANELS.values() for name in names}, named

io.save(make_diagnosis(), folder / "kernels.h5")
io.save(phantom(), folder / "phantom.h5")
files = [spectra_file(folder), traces_file(folder), folder / "kernels.h5", folder / "phantom.h5"]
slices = folder / "slices"
slices.mkdir()
shutil.copy(get_testdata_file("CT_small.dcm"), slices)
files.append(slices)
# As the command `usct view` does: files, and the panels that suit them.
viewer = open_window(files)
docks = set(viewer.window.dock_widgets)
assert {"Scan (usct)", "Reconstruct (usct)", "Kernels (usct)"} <= docks, docks
layers = viewer.layers
assert layers.extent.units is not None, "units differ between layers"
bars = [layer for layer in layers if getattr(layer, "colorbar", None) is not None and layer.colorbar.visible]
windows = [(layer.colormap.name, tuple(layer.contrast_limits)) for layer in bars]
assert bars
assert len(set(windows)) == len(windows), "two bars say the same"
# What is saved is the whole file; samples are made when they are opened first.
(written,) = layers["sound speed [m/s] · phantom"].save(str(folder / "copy.h5"), plugin="usct")
assert io.load(written).tissues == phantom().tissues
layers.clear()
beats = []
heart = QTimer()
heart.timeout.connect(lambda: beats.append(time.monotonic()))
heart.start(10)
(ring,) = [layer for layer in viewer.open_sample("usct", "breast") if "elements" in layer.name]
assert len(ring.data) == 128
# The window lives while the sample is made.
assert len(beats) > 20, len(beats)
viewer.close()
assert not complaints, complaints
