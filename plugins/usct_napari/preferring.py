"""Opening the files of usct without a question, and those of others as if usct were not there.

napari's own reader claims HDF5, DICOM and every folder too, so that `napari scan.h5` would ask which of the two is
meant, and its own, which comes first, fails on all of these. So usct is asked first, and hands on what is not its own.
A reader that the user has chosen is never changed.
"""

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

OURS = ("*.h5", "*.hdf5", "*.dcm", "*.DCM", "*.dicom", "*.ima", "*.IMA", "*/")
"""Patterns of files, and of folders, that are offered to usct first; those of others are left to others."""

Reader = Callable[[str | Sequence[str]], list[Any]]


def prefer() -> None:
    """Make usct the reader of its patterns for this session, where the user's settings name none."""
    from napari.settings import get_settings

    chosen = get_settings().plugins.extension2reader
    taken = list(chosen)
    for ours in OURS:
        example = ours.replace("*", "/folder/name")
        if not any(fnmatch(example, pattern) for pattern in taken):
            chosen[ours] = "usct"


def next_reader(path: str | Sequence[str]) -> Reader | None:
    """The reader of the only other plug-in for a file that is none of usct's, where usct was asked first.

    Args:
        path: As napari gives it: one file or folder, or several that belong together.

    Returns:
        None where usct was not preferred, or where several others compete, between which napari then asks.
    """
    from napari.plugins.utils import get_preferred_reader
    from npe2 import PluginManager

    first = path if isinstance(path, str) else path[0]
    if get_preferred_reader(first) != "usct":
        return None
    readers = PluginManager.instance().iter_compatible_readers(first)
    others = {reader.plugin_name for reader in readers} - {"usct"}
    return _through(others.pop()) if len(others) == 1 else None


def _through(plugin: str) -> Reader:
    def read(path: str | Sequence[str]) -> list[Any]:
        from npe2 import read as read_by_plugin

        from usct_napari.dressing import tell_soon

        one = isinstance(path, str)
        paths = [path] if isinstance(path, str) else list(path)
        try:
            return read_by_plugin(paths, stack=not one, plugin_name=plugin)
        # Whatever another plug-in stumbles over, which usct cannot know.
        except Exception as error:  # noqa: BLE001
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            tell_soon(
                f"{Path(paths[0]).name}: this is nothing that usct reads, and the reader of {plugin} fails on it "
                f"({reason}). 'usct info' on the command line tells which formats are read."
            )
            return [(None,)]

    return read
