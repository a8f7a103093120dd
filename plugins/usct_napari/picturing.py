"""Pictures of every panel at work: `python -m usct_napari.picturing FOLDER`."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QDockWidget

from usct_napari.opening import frame
from usct_napari.samples import breast_file, layers_of, traces_file
from usct_napari.sourcing import source_of

SIZE = (1440, 900)
PATIENCE = 600.0
"""Longest that any step may take [s]."""


class Stall(NamedTuple):
    """Longest times for which a window did not answer [s].

    Attributes:
        clock: As people feel it.
        work: That its thread computed meanwhile; what other programs do to the machine is not in it.
        own: The same without what napari's canvas took to draw, which depends on the machine's graphics.
    """

    clock: float
    work: float
    own: float


class Window:
    """A napari window that is driven by a program.

    Attributes:
        viewer: napari's.
    """

    BEAT = 10
    """How often it is asked [ms]."""

    def __init__(self) -> None:
        """Open it, empty."""
        from napari import Viewer

        from usct_napari.dressing import dress

        self.viewer = Viewer(title="usct")
        self.viewer.window.resize(*SIZE)
        dress(self.viewer)
        self._longest, self._drawn, self._last = Stall(0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0)
        drawing = self.viewer.window._qt_viewer.canvas._scene_canvas.events.draw
        drawing.connect(self._drawing_begins, position="first")
        drawing.connect(self._drawing_ends, position="last")
        self._begin()
        self._heart = QTimer()
        self._heart.timeout.connect(self._beat)
        self._heart.start(self.BEAT)

    def _drawing_begins(self, _: object) -> None:
        self._drawn -= time.thread_time()

    def _drawing_ends(self, _: object) -> None:
        self._drawn += time.thread_time()

    def _begin(self) -> None:
        """Count from now on; what was done before is no work of the window's."""
        self._last = time.monotonic(), time.thread_time(), self._drawn

    def _beat(self) -> None:
        """Take the time since the window answered last, as it would answer a key or a click."""
        clock, work, drawn = self._last
        self._begin()
        clock, work, drawn = (now - then for now, then in zip(self._last, (clock, work, drawn), strict=True))
        self._longest = Stall(*map(max, self._longest, (clock, work, work - drawn)))

    def take_stalls(self) -> Stall:
        """The longest since this was asked last."""
        found, self._longest = self._longest, Stall(0.0, 0.0, 0.0)
        return found

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Count what is done here as the window's own work."""
        self._begin()
        yield
        self._beat()

    def open(self, path: Path) -> None:
        """Open a file as File > Open does."""
        with self.watched():
            self.viewer.open(str(path), plugin="usct")
        self.wait(0.5)

    def add(self, layers: Iterable[Any]) -> None:
        """Add layer data."""
        from napari.layers import Layer

        for data in layers:
            self.viewer.add_layer(Layer.create(*data))
            self.wait(0.1)

    @property
    def n_cells(self) -> int:
        """Layers that are seen side by side."""
        return sum(layer.visible for layer in self.viewer.layers) if self.viewer.canvas.grid.enabled else 0

    def show_lists(self, visible: bool) -> None:
        """Open or close the list of layers and their controls; without them images have the room."""
        for dock in self.viewer.window._qt_window.findChildren(QDockWidget):
            if dock.windowTitle().startswith("layer "):
                dock.setVisible(visible)
        self.wait(0.5)

    def panel(self, name: str) -> Any:
        """Open a panel as the Plugins menu does."""
        with self.watched():
            _, panel = self.viewer.window.add_plugin_dock_widget("usct", name)
        self.wait(0.5)
        return panel

    def close_panel(self, panel: Any) -> None:
        """Close a panel."""
        self.viewer.window.remove_dock_widget(panel)
        self.wait(0.2)

    def wait(self, seconds: float = PATIENCE, until: Callable[[], bool] | None = None) -> None:
        """Let the window live for some time, or until something holds.

        Raises:
            TimeoutError: If it never does.
        """
        began = time.monotonic()
        self._begin()
        while time.monotonic() - began < seconds:
            QApplication.processEvents()
            if until is not None and until():
                return
            time.sleep(0.005)
        if until is not None:
            raise TimeoutError(f"nothing happened within {seconds:g} s")

    def show_only(self, *quantities: str) -> None:
        """Leave only layers of some quantities visible, and point the camera at them."""
        for layer in self.viewer.layers:
            source = source_of(layer)
            layer.visible = source is not None and source.quantity in quantities
        frame(self.viewer)

    def picture(self, path: Path) -> None:
        """Save what the whole window shows."""
        self.wait(0.5)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        # Two hundred and fifty-six colours chosen for all of them, not for the most frequent, take a third of the room.
        picture = Image.fromarray(pixels[..., :3])
        few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


def take(folder: Path, scan: Path, traces: Path) -> list[Path]:
    """Take a picture of every panel.

    Args:
        folder: For the pictures.
        scan: The breast's scan, its phantom beside it, in a folder where results may be written.
        traces: A scan of traces.

    Returns:
        The pictures.
    """
    window = Window()
    pictures = [folder / f"{name}.png" for name in ("scan", "reconstruct", "kernels", "maps", "compare")]
    picture_scan(window, traces, pictures[0])
    window.viewer.layers.clear()
    window.add(layers_of(scan))
    _picture_reconstruction(window, scan, pictures[1])
    picture_kernels(window, *pictures[2:4])
    window.show_lists(False)
    picture_comparison(window, pictures[4])
    window.viewer.close()
    return pictures


def picture_scan(window: Window, traces: Path, picture: Path) -> None:
    """Check all channels of a scan of traces, and take a picture."""
    window.open(traces)
    panel = window.panel("Scan")
    window.wait(until=lambda: panel.scan is not None)
    panel.check.click()
    window.wait(until=lambda: panel.report is not None)
    panel.show_element(len(panel.scan.array.positions) // 4)
    window.show_lists(False)
    window.show_only("sound_speed", "traces", "water_traces", "elements", "chosen element")
    window.picture(picture)
    window.show_lists(True)
    window.close_panel(panel)


def _picture_reconstruction(window: Window, scan: Path, picture: Path) -> None:
    """Two runs, the second in the picture when it is nearly done."""
    panel = window.panel("Reconstruct")
    for name in ("pixel", "tailored"):
        panel.form.set_value("parameterization.name", name)
        panel.start.click()
        if name == "tailored":
            window.wait(until=lambda: bool(u := panel.run.updates()) and u[-1].fraction > 0.5)
            window.show_only("sound_speed", "elements")
            window.picture(picture)
        result = scan.with_name(f"{scan.stem}-{name}.h5")
        window.wait(until=partial(_is_open, window, result))
    window.close_panel(panel)


def picture_kernels(window: Window, pattern: Path, maps: Path) -> None:
    """Diagnose the result that is open with its scan; take a picture of a pattern, and of maps beside the image."""
    panel = window.panel("Kernels")
    panel.diagnose.click()
    window.wait(until=lambda: panel.diagnosis is not None and not panel.command.is_running)
    window.wait(1.0)
    panel.mode.setValue(min(7, panel.mode.maximum()))
    panel.show_box.setCurrentText("Pattern in image and data")
    window.wait(until=lambda: window.n_cells == 2)
    window.picture(pattern)
    panel.show_box.setCurrentText("Image, resolution, uncertainty")
    panel.tabs.setCurrentWidget(panel.plots["Detail"])
    window.wait(until=lambda: window.n_cells == 3)
    window.picture(maps)
    window.close_panel(panel)


def picture_comparison(window: Window, picture: Path) -> Any:
    """Compare everything that is open, take a picture, and return the panel."""
    panel = window.panel("Compare")
    window.wait(until=lambda: bool(panel.scores) and window.n_cells == 2 * len(panel.chosen) - 1)
    window.picture(picture)
    return panel


def _is_open(window: Window, path: Path) -> bool:
    return any(getattr(source_of(layer), "path", None) == path for layer in window.viewer.layers)


def main(folder: Path) -> None:
    """Take the pictures of the sample data.

    Args:
        folder: Made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work):
        for picture in take(folder, breast_file(Path()), traces_file(Path())):
            print(picture)  # noqa: T201 - a command


if __name__ == "__main__":
    main(Path(sys.argv[1]))
