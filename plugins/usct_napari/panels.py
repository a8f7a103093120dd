"""Opening a panel: what it needs is loaded in a thread, because that takes seconds where nothing of usct is yet."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget

from usct_napari.background import waited
from usct_napari.dressing import current_viewer
from usct_napari.preparing import prepare

if TYPE_CHECKING:
    from qtpy.QtWidgets import QMainWindow, QWidget


def scan() -> "QWidget":
    """What is in a scan, what is wrong with it, and what each element recorded."""
    return _made("usct_napari.scan", "ScanPanel")


def reconstruct() -> "QWidget":
    """Settings, a run, and the image as it grows."""
    return _made("usct_napari.reconstruct", "ReconstructPanel")


def kernels() -> "QWidget":
    """What the data support."""
    return _made("usct_napari.kernels", "KernelsPanel")


def compare() -> "QWidget":
    """Images against the truth and each other."""
    return _made("usct_napari.compare", "ComparePanel")


def _made(module: str, name: str) -> "QWidget":
    loaded = sys.modules.get(module) or waited(lambda: _load(module))
    viewer = current_viewer()
    panel: QWidget = getattr(loaded, name)(viewer)
    if viewer is not None:
        window = viewer.window._qt_window
        QTimer.singleShot(0, lambda: _join(window, panel))
    return panel


def _join(window: "QMainWindow", panel: "QWidget") -> None:
    """Put a panel that was just opened in front of usct's others; one below the other they need a very tall screen."""
    docks = [dock for dock in window.findChildren(QDockWidget) if dock.windowTitle().endswith("(usct)")]
    mine = next((dock for dock in docks if dock.isAncestorOf(panel)), None)
    others = [dock for dock in docks if dock is not mine and dock.isVisible() and not dock.isFloating()]
    if mine is not None and others and mine not in window.tabifiedDockWidgets(others[0]):
        window.tabifyDockWidget(others[0], mine)
        mine.raise_()


def _load(module: str) -> ModuleType:
    prepare("image", "points")
    return import_module(module)
