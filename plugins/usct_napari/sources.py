"""Which files the layers of a viewer come from, as a box to choose one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QWidget

from usct_napari.sourcing import source_of

if TYPE_CHECKING:
    from napari import Viewer


def is_closed(panel: QWidget) -> bool:
    """Whether the dock that held a panel is gone; napari keeps the panel, which must rest then."""
    return panel.parent() is None


def stop_hearing(viewer: "Viewer", callback: Callable[..., Any]) -> None:
    """Tell a viewer's mouse to call something no more; soon, because napari may be walking through its list now."""
    callbacks = viewer.mouse_drag_callbacks
    QTimer.singleShot(0, lambda: callbacks.remove(callback) if callback in callbacks else None)


class SourceBox(QComboBox):
    """The files of some kinds in a viewer; follows its layers.

    Signals:
        chosen: Another file is chosen now; carries its path, or None.
    """

    chosen = Signal(object)

    def __init__(self, viewer: "Viewer", *kinds: str, empty: str = "Open a file first") -> None:
        """List files of these kinds; `empty` stands there where there is none."""
        super().__init__()
        self._viewer, self._kinds, self._empty = viewer, kinds, empty
        self._last: Path | None = None
        self.currentIndexChanged.connect(lambda _: self._tell())
        viewer.layers.events.inserted.connect(self._layers_changed)
        viewer.layers.events.removed.connect(self._layers_changed)
        self._refill()

    @property
    def path(self) -> Path | None:
        """The chosen file."""
        return self.currentData()

    def choose(self, path: Path) -> None:
        """Choose a file, if it is listed."""
        paths = [self.itemData(n) for n in range(self.count())]
        if path in paths:
            self.setCurrentIndex(paths.index(path))

    def _layers_changed(self, _: object) -> None:
        panel = self.parentWidget()
        if panel is None or not is_closed(panel):
            self._refill()

    def _refill(self) -> None:
        before = self.path
        sources = [source for layer in self._viewer.layers if (source := source_of(layer)) is not None]
        paths = dict.fromkeys(s.path for s in sources if s.kind in self._kinds)
        self.blockSignals(True)
        self.clear()
        for path in paths:
            self.addItem(path.name, path)
            self.setItemData(self.count() - 1, str(path), 3)
        if not paths:
            self.addItem(self._empty, None)
        if before in paths:
            self.setCurrentIndex(list(paths).index(before))
        else:
            self.setCurrentIndex(self.count() - 1)
        self.blockSignals(False)
        self._tell()

    def _tell(self) -> None:
        if self.path != self._last:
            self._last = self.path
            self.chosen.emit(self.path)
