"""Opening a panel: what it needs is loaded in a thread, because that takes seconds where nothing of usct is yet."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from usct_napari.background import waited
from usct_napari.dressing import current_viewer

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


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
    loaded = sys.modules.get(module) or waited(lambda: import_module(module))
    panel: QWidget = getattr(loaded, name)(current_viewer())
    return panel
