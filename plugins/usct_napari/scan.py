"""The panel about a scan: what is in it, what is wrong with it, and what each element recorded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QTextBrowser, QVBoxLayout, QWidget

from usct.acquisition import Acquisition, TransducerArray
from usct.calibration.quality import QualityReport, Verdict
from usct.errors import InputError
from usct.io.glance import ScanGlance
from usct.units import MILLIMETRE
from usct_napari.background import in_background
from usct_napari.gather import draw_element
from usct_napari.opening import frame_soon, open_later
from usct_napari.planes import planes
from usct_napari.plots import Plot
from usct_napari.reading import LARGE
from usct_napari.recordings import ALIVE, DEAD, TRANSMIT
from usct_napari.sources import SourceBox, is_closed, stop_hearing
from usct_napari.sourcing import Source, source_of

if TYPE_CHECKING:
    from napari import Viewer

CHOSEN = "chosen element"
_MARKS = {Verdict.GOOD: ("#66bb6a", "●"), Verdict.FAULT: ("#ff5252", "▲"), Verdict.UNKNOWN: ("#90a4ae", "○")}


class ScanPanel(QWidget):
    """Shows a scan's contents, checks its channels, masks what is condemned, and plots single elements."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        """Build the panel, and read the scan that was opened last."""
        super().__init__()
        self.viewer = napari_viewer
        self.scan: Acquisition | ScanGlance | None = None
        self.report: QualityReport | None = None
        self.element = 0
        self.box = SourceBox(napari_viewer, "scan", empty="File > Open Sample > usct")
        self.check, self.mend = QPushButton("Check all channels"), QPushButton("Save without bad ones")
        self.mend.setToolTip(
            "Writes the scan anew: condemned channels masked, turned polarities turned back."
        )
        self.mend.setEnabled(False)
        self.status, self.words = (
            QLabel("Click an element of the ring to see what it recorded."),
            QTextBrowser(),
        )
        self.plot = Plot(napari_viewer, height=320)
        self._lay_out()
        self.box.chosen.connect(self._choose)
        self.check.clicked.connect(self.check_all)
        self.mend.clicked.connect(self._save_mended)
        napari_viewer.mouse_drag_callbacks.append(self._clicked)
        planes(napari_viewer).moved.connect(self._follow_slider)
        self._choose(self.box.path)
        frame_soon(napari_viewer)

    def _lay_out(self) -> None:
        self.status.setWordWrap(True)
        top, buttons = QFormLayout(), QHBoxLayout()
        top.addRow("Scan", self.box)
        buttons.addWidget(self.check)
        buttons.addWidget(self.mend)
        layout = QVBoxLayout(self)
        for part in (top, self.words, buttons, self.status, self.plot):
            layout.addWidget(part) if isinstance(part, QWidget) else layout.addLayout(part)
        layout.setStretch(1, 1)
        layout.setStretch(4, 1)
        self.setMinimumWidth(330)

    def _choose(self, path: Path | None) -> None:
        self.scan = self.report = None
        self.mend.setEnabled(False)
        self.check.setEnabled(False)
        self.plot.say(0, "no element was chosen yet")
        self.plot.refresh()
        if path is None:
            self.words.setHtml("<i>Open a scan.</i>")
            return
        self.words.setHtml("<i>Reading…</i>")
        in_background(lambda: _read(path), lambda found: self._take(path, *found), self._unreadable)

    def _take(self, path: Path, scan: Acquisition | ScanGlance, rows: list[tuple[str, str]]) -> None:
        if path != self.box.path:
            return
        self.scan = scan
        self.words.setHtml(_table(rows))
        self.check.setEnabled(True)
        self.show_element(0)

    def check_all(self) -> None:
        """Check every channel, in the background."""
        path, scan = self.box.path, self.scan
        if path is None:
            return
        self.check.setEnabled(False)
        self.status.setText("Checking every channel…")
        in_background(lambda: _checked(path, scan), lambda report: self._judge(path, report), self._refused)

    def _judge(self, path: Path, report: QualityReport) -> None:
        if path != self.box.path:
            return
        self.report = report
        self.check.setEnabled(True)
        self.mend.setEnabled(True)
        n_bad = int((~report.usable).sum())
        self.status.setText(
            f"{len(report.faults)} of {len(report.checks)} checks found something; "
            f"{n_bad} of {report.usable.numel()} channels cannot be used."
        )
        rows = "".join(
            f"<tr><td style='color:{_MARKS[c.verdict][0]}'>{_MARKS[c.verdict][1]}</td>"
            f"<td style='padding:0 6px'><b>{c.name}</b></td><td>{c.text}</td></tr>"
            for c in sorted(report.checks, key=lambda check: check.verdict is not Verdict.FAULT)
        )
        self.words.setHtml(f"<table>{rows}</table>")
        self._mark_dead(report.usable)
        self.show_element(self.element)

    def _mark_dead(self, usable: torch.Tensor) -> None:
        """Colour elements of whose channels none can be used."""
        if self.scan is None:
            return
        array = self.scan.array
        dead = np.zeros(array.n_elements, dtype=bool)
        for index, good in ((array.transmits, usable.any(dim=1)), (array.receives, usable.any(dim=0))):
            dead[index.numpy()[~good.numpy()]] = True
        for layer in self.viewer.layers:
            source = source_of(layer)
            if source is not None and source.path == self.box.path and source.quantity == "elements":
                layer.features = layer.features.assign(dead=dead)
                layer.face_color = [DEAD if bad else ALIVE for bad in dead]

    def _save_mended(self) -> None:
        from usct import io
        from usct.calibration.quality import mend

        path, scan, report = self.box.path, self.scan, self.report
        if path is None or report is None:
            return
        output = path.with_name(f"{path.stem}-mended.h5")

        def save() -> None:
            io.save(mend(_whole(path, scan), report), output)

        in_background(save, lambda _: open_later(self.viewer, output), self._refused)

    def _unreadable(self, sentence: str) -> None:
        self.words.setHtml("")
        self.status.setText(sentence)

    def _refused(self, sentence: str) -> None:
        self.check.setEnabled(True)
        self.status.setText(sentence)

    def _clicked(self, _: object, event: Any) -> None:
        """Choose the element under the mouse."""
        if is_closed(self):
            stop_hearing(self.viewer, self._clicked)
            return
        if event.type != "mouse_press" or self.scan is None or self.scan.array.positions.shape[1] != 2:
            return
        away = torch.linalg.vector_norm(
            self.scan.array.positions / MILLIMETRE - torch.tensor(event.position[-2:]), dim=1
        )
        nearest = int(away.argmin())
        if float(away[nearest]) < _reach(self.scan.array):
            self.show_element(nearest)

    def show_element(self, element: int) -> None:
        """Plot what was recorded when an element sent, and mark it in the image.

        Args:
            element: Its number.
        """
        self._draw(element)
        if self.scan is not None:
            self._go_to_transmit(self.scan.array, element)

    def _draw(self, element: int) -> None:
        """Do so, and leave napari's slider where it is."""
        path, self.element = self.box.path, element
        if path is None or self.scan is None:
            return
        try:
            said = draw_element(self.plot, self.scan, element, self.report)
        except InputError as error:
            said = str(error)
        self.plot.refresh()
        if said:
            self.status.setText(said)
        array = self.scan.array
        if array.positions.shape[1] != 2:
            return
        place = array.positions[element].numpy()[None] / MILLIMETRE
        if CHOSEN in self.viewer.layers:
            self.viewer.layers[CHOSEN].data = place
            return
        active = self.viewer.layers.selection.active
        self.viewer.add_points(
            place,
            name=CHOSEN,
            size=2.6 * _reach(array),
            symbol="ring",
            face_color="#ffb74d",
            border_width=0.0,
            units=("mm", "mm"),
            axis_labels=("y", "x"),
            metadata={"usct": Source(path, "shown", "chosen element", has_bar=False)},
        )
        self.viewer.layers.selection.active = active

    def _go_to_transmit(self, array: TransducerArray, element: int) -> None:
        """Let the traces in the window show the transmit of an element."""
        sent = np.flatnonzero(array.transmits.numpy() == element)
        if len(sent):
            planes(self.viewer).go_to(TRANSMIT, int(sent[0]))

    def _follow_slider(self, axis: str, place: float) -> None:
        """Choose the element whose transmit napari's slider was moved to."""
        if axis == TRANSMIT and self.scan is not None and not is_closed(self):
            transmits = self.scan.array.transmits.tolist()
            # Not the element's first transmit: it may be another that is seen.
            self._draw(transmits[min(round(place), len(transmits) - 1)])


def _reach(array: TransducerArray) -> float:
    """Distance within which a click means an element [mm]."""
    return 0.06 * array.radius / MILLIMETRE


def _read(path: Path) -> tuple[Acquisition | ScanGlance, list[tuple[str, str]]]:
    """A scan and the facts about it; the traces of a large one stay in the file."""
    from usct import io
    from usct.io.glance import glance

    seen = glance(path) if path.stat().st_size > LARGE else None
    if seen is None:
        return _whole(path, None), io.describe(path)
    n_tx, n_rx, n_samples = seen.traces.shape
    return seen, [
        ("file", str(path)),
        ("elements", str(seen.array.n_elements)),
        ("transmits x receives", f"{n_tx} x {n_rx}"),
        ("samples", f"{n_samples} of {seen.traces.dtype}"),
        ("note", "The traces are large and were not read; checking all channels reads them."),
    ]


def _checked(path: Path, scan: Acquisition | ScanGlance | None) -> QualityReport:
    from usct.calibration.checking import check

    return check(_whole(path, scan))


def _whole(path: Path, scan: Acquisition | ScanGlance | None) -> Acquisition:
    """A scan with all its values, read if need be."""
    from usct import io

    thing = scan if isinstance(scan, Acquisition) else io.load(path)
    if not isinstance(thing, Acquisition):
        raise InputError(f"{path}: this is no scan any more; open it again.")
    return thing


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><td style='padding-right:8px'><b>{name}</b></td><td>{text}</td></tr>"
        for name, text in rows
        if name != "file"
    )
    return f"<table>{cells}</table>"
