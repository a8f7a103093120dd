"""The panel that compares images with the truth and with each other: side by side, along a line, in numbers."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QTabWidget,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from usct.evaluation.case import CaseScores
from usct.phantom.base import Phantom
from usct_napari.background import in_background, one_by_one
from usct_napari.comparing import Image, briefly, error_window, errors_of, images_of, scored
from usct_napari.comparison_words import score_table
from usct_napari.layers import signed_layer
from usct_napari.lining import ProfileLine
from usct_napari.opening import frame_soon
from usct_napari.plots import Plot
from usct_napari.preparing import prepare
from usct_napari.profiles import draw_histories, draw_profiles
from usct_napari.side_by_side import pile, spread
from usct_napari.sources import is_closed
from usct_napari.sourcing import Source, source_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

HINT = "Hold Shift and drag across an image to draw another line."


class ComparePanel(QWidget):
    """Chosen images beside their truth, their errors, their values along a line, and their scores."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        """Build the panel, and compare everything that the viewer shows."""
        super().__init__()
        self.viewer = napari_viewer
        self._files: dict[Path, list[Image]] = {}
        self._asked = 0
        self._pending: set[Path] = set()
        self.scores: dict[str, CaseScores] = {}
        self.listed, self.words = QListWidget(), QTextBrowser()
        self.listed.setToolTip("What to compare.")
        self.beside, self.errors = QCheckBox("Side by side"), QCheckBox("Errors")
        self.beside.setToolTip(
            "In the window, where moving or zooming one image moves all; else one above the other."
        )
        self.errors.setToolTip("Each image less the truth, as a layer; side by side it lies below the image.")
        self.status, self.plots = QLabel(""), QTabWidget()
        self.profiles, self.history = Plot(napari_viewer, height=240), Plot(napari_viewer, height=240)
        self.line = ProfileLine(napari_viewer, self._draw_profiles)
        self._lay_out()
        self.listed.itemChanged.connect(lambda _: self._compare())
        for box in (self.beside, self.errors):
            box.setChecked(True)
            box.toggled.connect(lambda _: self._arrange())
        # Layers come and go several at a time, and all of them when the window closes.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(150)
        self._soon.timeout.connect(self._collect)
        for event in (napari_viewer.layers.events.inserted, napari_viewer.layers.events.removed):
            event.connect(self._layers_changed)
        self._collect()
        frame_soon(napari_viewer)

    def _lay_out(self) -> None:
        self.status.setWordWrap(True)
        self.listed.setMaximumHeight(96)
        self.plots.addTab(self.profiles, "Along the line")
        self.profiles.setToolTip(HINT)
        self.plots.addTab(self.history, "History")
        boxes, layout = QHBoxLayout(), QVBoxLayout(self)
        for box in (self.beside, self.errors):
            boxes.addWidget(box)
        boxes.addStretch()
        layout.addWidget(self.listed)
        layout.addLayout(boxes)
        for part in (self.plots, self.status, self.words):
            layout.addWidget(part)
        layout.setStretch(2, 2)
        layout.setStretch(4, 3)
        self.setMinimumWidth(380)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Lay the images out as this panel has them."""
        super().showEvent(event)
        QTimer.singleShot(0, self._arrange)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave the window to other panels."""
        super().hideEvent(event)
        if event is None or not event.spontaneous():
            pile(self.viewer)

    @property
    def chosen(self) -> list[Image]:
        """Images that are ticked; truths first."""
        names = {
            item.data(Qt.ItemDataRole.UserRole)
            for item in self._items()
            if item.checkState() == Qt.CheckState.Checked
        }
        found = [image for images in self._files.values() for image in images if image.name in names]
        return sorted(found, key=lambda image: (image.truth is None, image.result is not None))

    def _items(self) -> list[QListWidgetItem]:
        found = (self.listed.item(n) for n in range(self.listed.count()))
        return [item for item in found if item is not None]

    def _layers_changed(self, _: object) -> None:
        if not is_closed(self):
            self._soon.start()

    def _collect(self) -> None:
        """Read the files of all layers that hold images."""
        sources = [s for layer in self.viewer.layers if (s := source_of(layer)) is not None]
        paths = dict.fromkeys(s.path for s in sources if s.kind in ("scan", "result", "phantom"))
        gone, new = set(self._files) - set(paths), [path for path in paths if path not in self._files]
        for path in gone:
            self._files.pop(path)
        if gone and not new:
            self._list()
        for path in new:
            self._files[path] = []
            self._pending.add(path)
            in_background(partial(images_of, path), partial(self._take, path))

    def _take(self, path: Path, found: list[Image]) -> None:
        if path in self._files:
            self._files[path] = found
        self._pending.discard(path)
        if not self._pending:
            self._list()

    def _list(self) -> None:
        before = {item.text(): item.checkState() for item in self._items()}
        self.listed.blockSignals(True)
        self.listed.clear()
        images = [image for found in self._files.values() for image in found]
        # Runs mostly begin alike.
        left = [image for image in images if image.is_start][1:]
        # One truth is enough, best one that tells lesions.
        truths = [image for image in images if image.truth is not None]
        left += sorted(truths, key=lambda image: not isinstance(image.truth, Phantom))[1:]
        for image in images:
            item = QListWidgetItem(image.name)
            item.setData(Qt.ItemDataRole.UserRole, image.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            usual = Qt.CheckState.Unchecked if image in left else Qt.CheckState.Checked
            item.setCheckState(before.get(image.name, usual))
            self.listed.addItem(item)
        self.listed.blockSignals(False)
        self._compare()

    @property
    def _truth(self) -> Image | None:
        return next((image for image in self.chosen if image.truth is not None), None)

    def _compare(self) -> None:
        """Show what is ticked, and score it in the background."""
        images, truth = self.chosen, self._truth
        self.errors.setEnabled(truth is not None)
        if not images:
            self.profiles.say(0, "open a scan with its truth, and results")
            self.profiles.refresh()
            return
        in_background(lambda: prepare("shapes"), lambda _: self._follow_line())
        self._arrange()
        draw_histories(self.history, briefly(images))
        results = {image.name: image.result for image in images if image.result is not None}
        if truth is None or truth.truth is None or not results:
            self.words.setHtml("<i>Tick a truth and a result to see scores.</i>")
            return
        self.status.setText("Scoring…")
        self._asked += 1
        asked, true = self._asked, truth.truth

        def show(scores: Mapping[str, CaseScores]) -> None:
            if asked == self._asked:
                self._show_scores(scores)

        in_background(lambda: scored(results, true), show, self.status.setText)

    def _show_scores(self, scores: Mapping[str, CaseScores]) -> None:
        self.scores = dict(scores)
        self.status.setText(HINT)
        self.words.setHtml(score_table(scores))

    def _follow_line(self) -> None:
        """Draw the images along the line in the viewer; made where it is missing."""
        images = self.chosen
        if is_closed(self) or not images:
            return
        self.line.make(images[0].medium.grid, images[0].path)
        self._draw_profiles()

    def _draw_profiles(self) -> None:
        ends = self.line.ends
        if is_closed(self):
            self.line.stop()
        elif ends is not None and self.chosen:
            draw_profiles(self.profiles, [(name, image.medium) for name, image in briefly(self.chosen)], ends)

    def _arrange(self) -> None:
        """Lay the ticked images out in the window, and their errors once these are known."""
        images, truth = self.chosen, self._truth
        if truth is None or not self.errors.isChecked():
            self._lay_side_by_side(with_errors=False)
            return
        true = truth

        def show(errors: Mapping[str, torch.Tensor]) -> None:
            steps: list[Callable[[], None]] = [partial(self._error_layer, image, errors) for image in images]
            steps.append(partial(self._lay_side_by_side, with_errors=True))
            one_by_one(takewhile(lambda _: images == self.chosen, steps))

        in_background(lambda: errors_of(images, true), show, self.status.setText)

    def _lay_side_by_side(self, with_errors: bool) -> None:
        truth = self._truth
        # The truth, which has no error, comes last, and the cell below it stays free.
        images = sorted(self.chosen, key=lambda image: image is truth)
        shown = [layer for image in images if (layer := self._layer_of(image)) is not None]
        errors = [self._named(_error_name(image)) for image in images if with_errors and image is not truth]
        below = [layer for layer in errors if layer is not None]
        if self.beside.isChecked() and 1 < len(shown) == len(images) and self.isVisible():
            spread(self.viewer, [shown, below] if below else [shown])
        else:
            pile(self.viewer)

    def _layer_of(self, image: Image) -> "Layer | None":
        wanted = image.path, image.quantity
        found = ((layer, source_of(layer)) for layer in self.viewer.layers)
        return next((x for x, s in found if s is not None and (s.path, s.quantity) == wanted), None)

    def _named(self, name: str) -> "Layer | None":
        return next((layer for layer in self.viewer.layers if layer.name == name), None)

    def _error_layer(self, image: Image, errors: Mapping[str, torch.Tensor]) -> None:
        """Make or fill the layer of an image less the truth; the truth itself has none."""
        if image.name not in errors:
            return
        name, source = _error_name(image), Source(image.path, "shown", "error")
        # The start's error is larger than all that is to be seen.
        bound = error_window([errors[x.name] for x in self.chosen if x.name in errors and not x.is_start])
        data, facts, _ = signed_layer(errors[image.name], image.medium.grid, name, source, bound=bound)
        layer = self._named(name)
        if layer is None:
            self.viewer.add_image(data, **facts)
        else:
            layer.data, layer.contrast_limits = data, facts["contrast_limits"]


def _error_name(image: Image) -> str:
    return f"error [m/s] · {image.name}"
