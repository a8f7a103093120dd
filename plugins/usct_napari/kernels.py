"""The panel about what the data support: spectra, patterns, maps, single places, and sentences."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QTabWidget,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from usct.diagnosis import Diagnosis
from usct.units import MILLIMETRE
from usct_napari.background import in_background, one_by_one
from usct_napari.commanding import Command
from usct_napari.kernel_plots import draw_decay, draw_place, draw_spectra, draw_transfer
from usct_napari.layers import PATTERN, signed_layer
from usct_napari.opening import frame, frame_soon, open_later
from usct_napari.planes import planes
from usct_napari.plots import Plot
from usct_napari.probing import Answer, Prober
from usct_napari.side_by_side import pile, spread
from usct_napari.sources import SourceBox, is_closed, stop_hearing
from usct_napari.sourcing import LayerData, Source, source_of

if TYPE_CHECKING:
    from napari import Viewer

VIEWS = {
    "Image": ("sound_speed",),
    "Image, resolution, uncertainty": ("sound_speed", "resolution", "standard_deviation"),
    "Resolution": ("resolution",),
    "Uncertainty": ("standard_deviation",),
    "Pattern": ("modes",),
    "Pattern in image and data": ("modes", "data_modes"),
    "Answer at a place": ("answer",),
    "Point spread at a place": ("spread",),
}
"""What can be looked at, and the quantities of its layers; several lie side by side."""
NEAR = 60.0
"""What is seen around a place [mm]."""


class KernelsPanel(QWidget):
    """Shows diagnoses, makes new ones, and asks the kernels about single places."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        """Build the panel, and show the diagnosis that was opened last."""
        super().__init__()
        self.viewer = napari_viewer
        self.diagnosis: Diagnosis | None = None
        self._loaded: dict[Path, Diagnosis] = {}
        self._portraits: dict[str, dict[str, Any]] = {}
        self._prober: Prober | None = None
        self._busy = False
        self.box = SourceBox(napari_viewer, "diagnosis", empty="None yet: diagnose a result")
        self.result = SourceBox(napari_viewer, "result", empty="Open a result")
        self.scan = SourceBox(napari_viewer, "scan", empty="Open its scan")
        self.diagnose, self.compare = QPushButton("Diagnose"), QPushButton("Compare representations")
        self.compare.setToolTip(
            "Spectra of all representations of this scan, as usct compare-kernels makes them."
        )
        self.status, self.words = QLabel(""), QTextBrowser()
        self.show_box, self.ask = QComboBox(), QPushButton("Click a place")
        self.mode, self.mode_label = QSlider(Qt.Orientation.Horizontal), QLabel("1")
        self.plots = {
            name: Plot(napari_viewer, height=220) for name in ("Spectrum", "Detail", "Theory", "Place")
        }
        self.command = Command(self)
        self._lay_out()
        self._connect()
        self._choose(self.box.path)
        frame_soon(napari_viewer)

    def _lay_out(self) -> None:
        self.words.setMinimumHeight(60)
        self.status.setWordWrap(True)
        self.show_box.addItems(VIEWS)
        self.ask.setCheckable(True)
        self.ask.setToolTip(
            "Then click into the image: how one step answers an error there, and how wide a point gets."
        )
        self.mode.setToolTip("The slider below the picture is the same, and counts from 0.")
        self.tabs = QTabWidget()
        for name, plot in self.plots.items():
            self.tabs.addTab(plot, name)
        self.plots["Place"].say(0, "click a place in the image")
        make = QFormLayout()
        make.addRow("Result", self.result)
        make.addRow("Its scan", self.scan)
        buttons = QHBoxLayout()
        buttons.addWidget(self.diagnose)
        buttons.addWidget(self.compare)
        look = QFormLayout()
        look.addRow("Diagnosis", self.box)
        look.addRow("Show", self.show_box)
        pattern = QHBoxLayout()
        pattern.addWidget(self.mode)
        pattern.addWidget(self.mode_label)
        look.addRow("Pattern", pattern)
        look.addRow(self.ask)
        layout = QVBoxLayout(self)
        for part in (make, buttons, self.status, look, self.words, self.tabs):
            layout.addWidget(part) if isinstance(part, QWidget) else layout.addLayout(part)
        layout.setStretch(4, 1)
        layout.setStretch(5, 1)
        self.setMinimumWidth(330)

    def _connect(self) -> None:
        self.box.chosen.connect(self._choose)
        for box in (self.result, self.scan):
            box.chosen.connect(lambda _: self._allow())
        self.diagnose.clicked.connect(self._diagnose)
        self.compare.clicked.connect(self._compare)
        self.show_box.currentTextChanged.connect(lambda _: self._show())
        self.mode.valueChanged.connect(lambda _: self._show_mode())
        planes(self.viewer).moved.connect(self._follow_slider)
        self.ask.toggled.connect(self._listen)
        self.command.said.connect(self.status.setText)
        self._allow()

    def _allow(self) -> None:
        ready = not self.command.is_running
        self.diagnose.setEnabled(ready and self.result.path is not None and self.scan.path is not None)
        self.compare.setEnabled(ready and self.scan.path is not None)
        self.ask.setEnabled(self.result.path is not None and self.scan.path is not None)

    def _diagnose(self) -> None:
        result = self.result.path
        if result is None:
            return
        output = result.with_name(f"{result.stem}-kernels.h5")
        words = ["diagnose", str(result), "--scan", str(self.scan.path), "-o", str(output)]
        self.command.start(words, lambda: self._open(output))
        self._allow()

    def _open(self, path: Path) -> None:
        self._loaded.pop(path, None)
        self.status.setText("")

        def show() -> None:
            self.box.choose(path)
            # Its first layer made it the chosen one; what is looked at may have come only now.
            self._show()

        open_later(self.viewer, path, show)
        self._allow()

    def _compare(self) -> None:
        scan = self.scan.path
        if scan is None:
            return
        folder = scan.with_name(f"{scan.stem}-kernels")
        self.command.start(["compare-kernels", str(scan), "-o", str(folder)], lambda: self._overlay(folder))
        self._allow()

    def _overlay(self, folder: Path) -> None:
        """Draw the spectra of representations that were laid side by side."""
        facts = json.loads((folder / "kernels.json").read_text(encoding="utf-8"))["representations"]
        self._portraits = {name: spectrum for name, spectrum in facts.items() if "eigenvalues" in spectrum}
        self.status.setText(f"Compared {', '.join(self._portraits) or 'none'}; the page lies in {folder}.")
        self._draw()
        self._allow()

    def _choose(self, path: Path | None) -> None:
        if path is None:
            self.diagnosis = None
            self.words.setHtml("<i>Diagnose a result to see what its data support.</i>")
            self._draw()
            return
        if path in self._loaded:
            self._take(path, self._loaded[path])
            return
        from usct import io

        in_background(lambda: io.load(path), lambda thing: self._take(path, thing))

    def _take(self, path: Path, diagnosis: Diagnosis) -> None:
        self._loaded[path], self.diagnosis = diagnosis, diagnosis
        self.words.setHtml(
            "".join(f"<p style='margin:3px 0'>{sentence}</p>" for sentence in diagnosis.summary)
        )
        self.mode.blockSignals(True)
        self.mode.setRange(1, len(diagnosis.image_kernel.modes))
        self.mode.blockSignals(False)
        self._tell_mode()
        planes(self.viewer).go_to(PATTERN, self.mode.value() - 1)
        one_by_one([self._draw, self._show])

    def _draw(self) -> None:
        curves = [self.plots[name] for name in ("Spectrum", "Detail", "Theory")]
        for plot in curves:
            plot.clear()
        spectra = {
            f"{d.representation}, {d.at}": _spectrum(d) for d in self._loaded.values()
        } | self._portraits
        if spectra:
            draw_spectra(self.plots["Spectrum"].axes[0], spectra)
        else:
            self.plots["Spectrum"].say(0, "no diagnosis yet")
        if self.diagnosis is None:
            self.plots["Detail"].say(0, "no diagnosis yet")
            self.plots["Theory"].say(0, "no diagnosis yet")
        else:
            draw_transfer(self.plots["Detail"].axes[0], self.diagnosis)
            if not draw_decay(self.plots["Theory"].axes[0], self.diagnosis):
                self.plots["Theory"].say(0, "no steps were tried")
        for plot in curves:
            plot.refresh()

    def _show_mode(self) -> None:
        """Show the pattern that was chosen here, and move napari's slider to it."""
        self._tell_mode()
        planes(self.viewer).go_to(PATTERN, self.mode.value() - 1)
        if "modes" not in VIEWS[self.show_box.currentText()]:
            self.show_box.setCurrentText("Pattern")
        elif planes(self.viewer).axis != PATTERN:
            self._show()

    def _follow_slider(self, axis: str, place: float) -> None:
        """Choose the pattern to which napari's slider was moved."""
        if axis == PATTERN and not is_closed(self):
            self.mode.blockSignals(True)
            self.mode.setValue(round(place) + 1)
            self.mode.blockSignals(False)
            self._tell_mode()

    def _tell_mode(self) -> None:
        if self.diagnosis is not None:
            number, values = self.mode.value(), self.diagnosis.data_kernel.eigenvalues
            strength = 100 * float(values[number - 1] / values[0])
            self.mode_label.setText(f"{number} of {len(values)} ({strength:.3g} %)")

    def _put(self, made: LayerData) -> None:
        """Add a layer, or fill the one of its name."""
        data, facts, _ = made
        if facts["name"] not in self.viewer.layers:
            self.viewer.add_image(data, **facts)
            return
        layer = self.viewer.layers[facts["name"]]
        layer.data = data
        for name in ("contrast_limits", "scale", "translate"):
            if tuple(getattr(layer, name)) != tuple(facts[name]):
                setattr(layer, name, facts[name])
        layer.metadata = facts["metadata"]

    def _show(self) -> None:
        """Leave only the chosen maps of this diagnosis visible."""
        wanted = VIEWS[self.show_box.currentText()]
        shown = {
            source.quantity: layer
            for layer in self.viewer.layers
            if (source := source_of(layer)) is not None
            and source.quantity in wanted
            and (source.kind == "shown" or (source.kind, source.path) == ("diagnosis", self.box.path))
        }
        if len(shown) > 1:
            spread(self.viewer, [[shown[quantity] for quantity in wanted if quantity in shown]])
            return
        pile(self.viewer)
        with self.viewer.layers.batched_update():
            for layer in self.viewer.layers:
                source = source_of(layer)
                if source is not None and source.quantity != "elements":
                    layer.visible = layer in shown.values()
        frame(self.viewer)

    def _listen(self, wanted: bool) -> None:
        callbacks = self.viewer.mouse_drag_callbacks
        if wanted and self._clicked not in callbacks:
            callbacks.append(self._clicked)
            self.status.setText("Click into the image.")
        elif not wanted:
            stop_hearing(self.viewer, self._clicked)

    def _clicked(self, _: object, event: Any) -> None:
        if is_closed(self):
            self._listen(wanted=False)
        elif event.type == "mouse_press":
            y, x = event.position[-2:]
            self.ask_at((y * MILLIMETRE, x * MILLIMETRE))

    def ask_at(self, position: tuple[float, float]) -> None:
        """Ask the kernels about a place, (y, x) [m]; the answers become layers."""
        if self._busy or self.result.path is None or self.scan.path is None:
            return
        files = (self.result.path, self.scan.path)
        if self._prober is None or self._prober.files != files:
            self._prober = Prober(*files)
            self.status.setText("Solving the wave equation once for all places…")
        else:
            self.status.setText("Asking…")
        self._busy, prober = True, self._prober
        in_background(lambda: prober.ask(position), self._answered, self._refused)

    def _answered(self, answer: Answer) -> None:
        self._busy = False
        y, x = (v / MILLIMETRE for v in answer.position)
        self.status.setText(
            f"At ({x:.1f}, {y:.1f}) mm: how one step answers an error, and how wide a point gets."
        )
        path = self.result.path
        if path is None:
            return
        steps: list[Callable[[], None]] = []
        for name, quantity, values in (
            ("answer at a place", "answer", answer.row),
            ("point spread at a place", "spread", answer.spread),
        ):
            inside = torch.where(answer.region, values, torch.nan)
            made = signed_layer(inside, answer.grid, name, Source(path, "shown", quantity), visible=False)
            steps.append(partial(self._put, made))
        if VIEWS[self.show_box.currentText()] not in (("answer",), ("spread",)):
            steps.append(lambda: self.show_box.setCurrentText("Point spread at a place"))
        one_by_one([*steps, self._show, lambda: self._draw_place(answer), lambda: self._go_to(y, x)])

    def _go_to(self, y: float, x: float) -> None:
        """Point the camera at a place [mm], near enough to see the width of a point."""
        camera = self.viewer.scene.camera
        camera.center, camera.zoom = (0.0, y, x), min(self.viewer.canvas.size) / NEAR

    def _draw_place(self, answer: Answer) -> None:
        """Draw both maps along the two lines through the place."""
        plot = self.plots["Place"]
        plot.clear()
        draw_place(plot.axes[0], answer)
        plot.refresh()
        self.tabs.setCurrentWidget(plot)

    def _refused(self, sentence: str) -> None:
        self._busy = False
        self.status.setText(sentence)


def _spectrum(diagnosis: Diagnosis) -> dict[str, Any]:
    kernel = diagnosis.data_kernel
    facts = {name: getattr(kernel, name).tolist() for name in ("eigenvalues", "nodes", "weights")}
    return facts | {"threshold": diagnosis.threshold}
