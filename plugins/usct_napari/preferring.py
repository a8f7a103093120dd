"""Opening the files of usct without a question.

napari's own reader claims HDF5, DICOM and every folder too, so that `napari scan.h5` would ask which of the two is
meant, and its own, which comes first, fails on all of these. A reader that the user has chosen is never changed.
"""

from fnmatch import fnmatch

OURS = ("*.h5", "*.hdf5", "*.dcm", "*.DCM", "*.dicom", "*.ima", "*.IMA", "*/")
"""Patterns of files, and of folders, that are offered to usct first; those of others are left to others."""


def prefer() -> None:
    """Make usct the reader of its patterns for this session, where the user's settings name none."""
    from napari.settings import get_settings

    chosen = get_settings().plugins.extension2reader
    taken = list(chosen)
    for ours in OURS:
        example = ours.replace("*", "/folder/name")
        if not any(fnmatch(example, pattern) for pattern in taken):
            chosen[ours] = "usct"
