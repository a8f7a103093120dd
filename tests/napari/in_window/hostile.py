"""What goes wrong with files, runs and small screens: a sentence each time, and nothing half opened."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from napari.utils.notifications import ErrorNotification, notification_manager
from pydicom.data import get_testdata_file
from qtpy.QtWidgets import QDockWidget
from usct_napari import reading
from usct_napari.picturing import Window
from usct_napari.running import Run

from tests.napari.in_window.small import spectra_file, traces_file
from usct import io
from usct.reconstruction import Reconstruction, Status

folder = Path(sys.argv[1])
said: list[str] = []
crashes: list[str] = []


def hear(notification) -> None:
    """Tell sentences from errors that nobody caught."""
    said.append(notification.message)
    error = getattr(notification, "exception", None)
    if isinstance(notification, ErrorNotification) and type(error).__name__ != "InputError":
        crashes.append(f"{error!r}")


notification_manager.notification_ready.connect(hear)
window = Window()
layers = window.viewer.layers


def changed(source: Path, name: str, change) -> Path:
    """A copy of a file, with a change and without its checksum."""
    path = folder / name
    shutil.copy(source, path)
    with path.open("r+b") as stream:
        stream.write(bytes(512))
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(file: h5py.File, name: str, values: np.ndarray) -> None:
    del file[name]
    file[name] = values


def hollow(file: h5py.File) -> None:
    del file["acquisition/data"]
    file.create_dataset("acquisition/data", shape=(16, 16, 1_000_000_000), dtype="f4", chunks=(1, 16, 1000))


def no_transmits(file: h5py.File) -> None:
    put(file, "acquisition/data", np.zeros((0, 16, 200), "f4"))
    put(file, "acquisition/tx/element", np.zeros(0, "i8"))
    put(file, "acquisition/valid", np.zeros((0, 16), bool))


def refused(path: Path, sentence: str) -> None:
    """Open a file that cannot be opened."""
    said.clear()
    before = list(layers)
    window.open(path)
    window.wait(10.0, until=lambda: bool(said))
    assert list(layers) == before, [layer.name for layer in layers]
    assert len(said) == 1, said
    assert sentence in said[0], said


scan = traces_file(folder)
io.load(scan)
cut = folder / "cut.h5"
cut.write_bytes(scan.read_bytes()[:-1000])
refused(cut, "cut.h5: its checksum does not match")
for large in (reading.LARGE, 0):
    reading.LARGE = large
    refused(changed(scan, "hollow.h5", hollow), "claims 1.02e+03 GB but stores")
    refused(changed(scan, "none.h5", no_transmits), "none.h5")
reading.LARGE = 64 * 2**20
refused(
    changed(scan, "silent.h5", lambda f: put(f, "acquisition/data", np.zeros((16, 16, 200)))),
    "no usable sample",
)
nan = np.full((16, 16, 200), np.nan)
not_a_number = changed(scan, "nan.h5", lambda f: put(f, "acquisition/data", nan))
refused(not_a_number, "no usable sample")
# What is read only when it is looked at opens all the same.
reading.LARGE = 0
window.open(not_a_number)
assert [layer.name for layer in layers][-1] == "elements · nan", layers
layers.clear()
reading.LARGE = 64 * 2**20

medium = io.load(scan).truth
bare = Reconstruction(medium, medium, torch.ones(medium.grid.shape, dtype=bool), (), Status.FINISHED, "Done.")
io.save(bare, folder / "bare.h5")
said.clear()
window.open(folder / "bare.h5")
assert {layer.name for layer in layers} == {"start [m/s] · bare", "sound speed [m/s] · bare"}
panel = window.panel("Compare")
window.wait(1.0)
window.close_panel(panel)
layers.clear()

mixed = folder / "mixed"
mixed.mkdir()
shutil.copy(get_testdata_file("CT_small.dcm"), mixed / "a.dcm")
(mixed / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk" * 50)
(mixed / "notes.txt").write_text("junk")
(mixed / "cut.dcm").write_bytes(Path(get_testdata_file("MR_small.dcm")).read_bytes()[:900])
window.open(mixed)
window.wait(1.0)
assert [layer.name for layer in layers] == ["CT [HU] · mixed"], [layer.name for layer in layers]
assert said, "what was left out is told"
layers.clear()

# A file that goes while it is open, its traces not read yet.
reading.LARGE = 0
lost = folder / "lost.h5"
shutil.copy(scan, lost)
window.open(lost)
panel = window.panel("Scan")
window.wait(until=lambda: panel.scan is not None)
lost.unlink()
said.clear()
panel.show_element(5)
assert "lost.h5" in panel.status.text(), panel.status.text()
panel.check.click()
window.wait(10.0, until=lambda: panel.check.isEnabled())
assert "lost.h5" in panel.status.text(), panel.status.text()
window.wait(0.5)
window.close_panel(panel)
reading.LARGE = 64 * 2**20
layers.clear()
window.wait(0.3)

# Two panels, one result: one run, which both see; and it outlives the window.
scan = spectra_file(folder)
window.open(scan)
panels = [window.panel("Reconstruct")]
for panel in panels:
    panel.form.set_value("schedule.iterations", "6")
    panel.form.set_value("schedule.max_solves", "400")
panels[0].start.click()
window.wait(60.0, until=lambda: len(panels[0].run.updates()) >= 1)
run = Run.of(Path(panels[0].output.text()))
pid = json.loads((run.folder / "state.json").read_text())["pid"]
other = Run(run.folder)
other.start(replace(run.job, preset="head"))
assert json.loads((run.folder / "state.json").read_text())["pid"] == pid
assert run.job == panels[0].run.job

panels[0].pause.click()
window.wait(60.0, until=lambda: run.state()[0] == "paused")
for name in ("Scan", "Kernels", "Compare"):
    window.panel(name)
for theme in ("light", "dark"):
    window.viewer.theme = theme
    window.viewer.window.resize(1024, 700)
    window.wait(1.0)
    qt = window.viewer.window._qt_window
    heights = {dock.windowTitle(): dock.minimumSizeHint().height() for dock in qt.findChildren(QDockWidget)}
    assert (qt.width(), qt.height()) == (1024, 700), (qt.width(), qt.height(), heights)
    for dock in qt.findChildren(QDockWidget):
        if "usct" in dock.windowTitle():
            dock.raise_()
            window.wait(0.5)
            window.picture(folder / f"small-{theme}-{dock.windowTitle().split()[0]}.png")
window.viewer.close()
assert run.state()[0] == "paused"
run.pause(False)
run.cancel()
assert not crashes, crashes
