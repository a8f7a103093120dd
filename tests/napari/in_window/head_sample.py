"""The sample of a head: opened, its skull is the start, and its preset is chosen; one click leads to an image."""

import sys

from napari.utils.notifications import NotificationSeverity, notification_manager
from usct_napari.picturing import Window
from usct_napari.sourcing import source_of

from usct import io

complaints = []
notification_manager.notification_ready.connect(
    lambda n: complaints.append(n.message) if n.severity >= NotificationSeverity.WARNING else None
)
window = Window()
viewer = window.viewer
viewer.open_sample("usct", "head")
panel = lambda: viewer.window.dock_widgets.get("Reconstruct (usct)")  # noqa: E731
window.wait(120.0, lambda: panel() is not None and panel().start.isEnabled())
window.wait(1.0)
names = [layer.name for layer in viewer.layers]
assert any("start" in name for name in names), names
assert any("tissues" in name or "labels" in name for name in names), names
made = panel()
assert made.form.preset.currentText() == "head"
assert "--preset head" in made.command.text()
window.picture(sys.argv[1] + "/head.png")
folder = sys.argv[1]
made.output.setText(f"{folder}/head-tailored.h5")
made.form.set_value("schedule.frequencies_mhz", "0.05, 0.1")
made.start.click()
kinds = lambda: {source.kind for x in viewer.layers if (source := source_of(x)) is not None}  # noqa: E731
window.wait(200.0, lambda: "result" in kinds())
window.wait(1.0)
window.picture(sys.argv[1] + "/image.png")
result = io.load(f"{folder}/head-tailored.h5")
assert float(result.start.sound_speed.max()) > 2000
viewer.close()
assert not complaints, complaints
