"""The panel that compares images with the truth and with each other: side by side, along a line, in numbers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from usct.acquisition import Acquisition
from usct.evaluation.case import CaseScores
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction
from usct.units import MILLIMETRE
from usct_napari.background import in_background
from usct_napari.comparison_plots import draw_images, draw_profiles, error_window
from usct_napari.layers import signed_layer
from usct_napari.opening import frame_soon
from usct_napari.plots import Plot
from usct_napari.sources import is_closed
from usct_napari.sourcing import Source, source_of

if TYPE_CHECKING:
    from napari import Viewer

LINE = "profile"


@dataclass(frozen=True)
class Image:
    """Something to compare.

    Attributes:
        name: For people.
        medium: The image.
        path: Its file.
        result: The whole result, where it is one.
        truth: The whole truth, where it is one.
    """

    name: str
    medium: Medium
    path: Path
    result: Reconstruction | None = None
    truth: Phantom | Medium | None = None

    @property
    def is_start(self) -> bool:
        """Whether a run began with it."""
        return self.result is None and self.truth is None


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
        self.subtract, self.status = QPushButton("Errors as layers"), QLabel("")
        self.images, self.profiles = Plot(napari_viewer, 1, height=260), Plot(napari_viewer, 1, height=180)
        self._lay_out()
        self.listed.itemChanged.connect(lambda _: self._compare())
        self.subtract.clicked.connect(self._add_errors)
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
        layout = QVBoxLayout(self)
        for part in (self.listed, self.images, self.profiles, self.subtract, self.status, self.words):
            layout.addWidget(part)
        layout.setStretch(1, 3)
        layout.setStretch(2, 2)
        layout.setStretch(5, 2)
        self.setMinimumWidth(460)

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
            in_background(partial(_images_of, path), partial(self._take, path))

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
        for image in (image for images in self._files.values() for image in images):
            item = QListWidgetItem(image.name)
            item.setData(Qt.ItemDataRole.UserRole, image.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            usual = Qt.CheckState.Unchecked if image.is_start else Qt.CheckState.Checked
            item.setCheckState(before.get(image.name, usual))
            self.listed.addItem(item)
        self.listed.blockSignals(False)
        self._compare()

    def _compare(self) -> None:
        """Draw what is ticked, and score it in the background."""
        images = self.chosen
        truth = next((image for image in images if image.truth is not None), None)
        self.subtract.setEnabled(truth is not None)
        if not images:
            self.images.say(0, "open a scan with its truth, and results")
            self.images.refresh()
            return
        draw_images(self.images, _briefly(images), None if truth is None else truth.medium)
        self._follow_line(images)
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

        in_background(lambda: _scored(results, true), show, self.status.setText)

    def _show_scores(self, scores: Mapping[str, CaseScores]) -> None:
        self.scores = dict(scores)
        self.status.setText("")
        self.words.setHtml(_table(scores))

    def _follow_line(self, images: list[Image]) -> None:
        """Draw the images along the line in the viewer; made where it is missing."""
        if LINE not in self.viewer.layers:
            grid = images[0].medium.grid
            middle = 0.5 * (grid.origin[-2] + grid.last[-2]) / MILLIMETRE
            ends = [[middle, grid.origin[-1] / MILLIMETRE], [middle, grid.last[-1] / MILLIMETRE]]
            active = self.viewer.layers.selection.active
            layer = self.viewer.add_shapes(
                [np.array(ends)],
                shape_type="line",
                name=LINE,
                edge_color="#ffb74d",
                edge_width=0.6,
                units=("mm", "mm"),
                axis_labels=("y", "x"),
                metadata={"usct": Source(images[0].path, "shown", "profile", has_bar=False)},
            )
            layer.events.data.connect(lambda _: self._draw_profiles())
            self.viewer.layers.selection.active = active
        self._draw_profiles()

    def _draw_profiles(self) -> None:
        if LINE in self.viewer.layers and self.viewer.layers[LINE].data:
            ends = np.asarray(self.viewer.layers[LINE].data[0])[:, -2:] * MILLIMETRE
            draw_profiles(self.profiles, _briefly(self.chosen), ends)

    def _add_errors(self) -> None:
        """Show each image less the truth as a layer."""
        images = self.chosen
        truth = next(image for image in images if image.truth is not None)
        for image in images:
            if image.truth is None:
                error = image.medium.sound_speed - truth.medium.resampled(image.medium.grid).sound_speed
                name = f"error [m/s] · {image.name}"
                source = Source(image.path, "shown", "error")
                data, facts, _ = signed_layer(
                    error, image.medium.grid, name, source, bound=error_window([error])
                )
                if name in self.viewer.layers:
                    self.viewer.layers[name].data = data
                else:
                    self.viewer.add_image(data, **facts)


def _briefly(images: list[Image]) -> list[tuple[str, Medium]]:
    """Names, without what all of them begin with, and images."""
    shared = len(os.path.commonprefix([image.name for image in images])) if len(images) > 1 else 0
    return [(image.name[shared:].strip(" :-") or image.name, image.medium) for image in images]


def _images_of(path: Path) -> list[Image]:
    """Everything of a file that can be compared."""
    from usct import io
    from usct.io.glance import glance

    seen = glance(path)
    thing: Any = seen or io.load(path)
    if isinstance(thing, Reconstruction):
        start = Image(f"{path.stem}: start", thing.start, path)
        return [start, Image(path.stem, thing.medium, path, result=thing)]
    if isinstance(thing, Phantom):
        return [Image(path.stem, thing.medium, path, truth=thing)]
    truth = thing.truth if seen is not None or isinstance(thing, Acquisition) else None
    return [] if truth is None else [Image(f"{path.stem}: truth", truth, path, truth=truth)]


def _scored(results: Mapping[str, Reconstruction], truth: Phantom | Medium) -> dict[str, CaseScores]:
    from usct.evaluation.case import evaluate_case

    return {name: evaluate_case(result, truth) for name, result in results.items()}


def _table(scores: Mapping[str, CaseScores]) -> str:
    """Scores and lesions, a column for each result."""
    columns = [dict((*s.image.rows(), *s.rows())) for s in scores.values()]
    shared = len(os.path.commonprefix(list(scores))) if len(scores) > 1 else 0
    head = "".join(f"<th align='left' style='padding-left:10px'>{name[shared:]}</th>" for name in scores)
    rows = "".join(
        f"<tr><td>{label}</td>"
        + "".join(f"<td style='padding-left:10px'><b>{column.get(label, '')}</b></td>" for column in columns)
        + "</tr>"
        for label in dict.fromkeys(label for column in columns for label in column)
    )
    return f"<table width='100%'><tr><th></th>{head}</tr>{rows}</table>"
