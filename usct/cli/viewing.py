"""The verb that opens a window: view."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from usct.errors import InputError

_REMEDY = "pip install 'usct[napari]' pyqt6"


def view(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Scans, results, diagnoses or phantoms.", metavar="FILE...")
    ] = None,
) -> None:
    """Look at scans, images and kernels in napari, beside the panels that suit them.

    [bold]Example:[/bold]  usct view scan.h5 result.h5
    """
    for name, what in (("napari", "napari"), ("qtpy", "napari's toolkit")):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"usct view needs {what}, which is not installed; run {_REMEDY}.")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InputError("usct view needs a screen and DISPLAY is not set; log in with one, or use xvfb-run.")
    try:
        # Found by name: the core does not depend on its plug-in.
        showing = importlib.import_module("usct_napari.showing")
        importlib.import_module("qtpy.QtWidgets")
    except ImportError as error:
        raise InputError(f"usct view found no Qt ({error}); run {_REMEDY}.") from None
    for path in files or ():
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path.")
    showing.show(files or ())
