"""DICOM objects as layers, by what their SOP class says they are."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydicom import uid
from pydicom.dataset import Dataset

from usct.errors import InputError
from usct.io.dicom import derived
from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import guarded, open_all
from usct.io.dicom.series import series_layers
from usct.io.dicom.ultrasound import picture_layers

_SERIES = {
    uid.CTImageStorage,
    uid.MRImageStorage,
    uid.PositronEmissionTomographyImageStorage,
    uid.EnhancedCTImageStorage,
    uid.EnhancedMRImageStorage,
    uid.EnhancedUSVolumeStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
}
_LABEL_MAP = uid.UID("1.2.840.10008.5.1.4.1.1.66.7")
_OTHERS = {
    uid.ParametricMapStorage: derived.map_layers,
    uid.SegmentationStorage: derived.label_layers,
    _LABEL_MAP: derived.label_layers,
}
# A dose has a scale and a place that are told in no other object's way.
_NO_PICTURES = {uid.RTDoseStorage, uid.MediaStorageDirectoryStorage}


def read_dicom(path: Path, left_out: list[str] | None = None) -> tuple[DicomLayer, ...]:
    """Read the images, maps and labels of a DICOM file, or of a folder.

    Ultrasound images come by their calibrated regions; CT (in Hounsfield units), MR and PET by series, sorted in
    space; Parametric Maps and Segmentations in their own units and numbers; other pictures as they are. Objects
    without a picture, such as reports, are passed over in a folder.

    Args:
        path: A file, or a folder whose files and folders are looked through.
        left_out: Where a sentence goes for each object or series that cannot be shown while others can; None
            refuses all of them together.

    Returns:
        At least one layer, in the order of the file names.

    Raises:
        InputError: If nothing can be shown, or a file is no DICOM, damaged, or has no scale.
    """
    path = Path(path)
    refused: list[str] = []
    found = open_all(path, None if left_out is None else refused)
    series: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    layers: list[DicomLayer] = []
    passed: list[str] = []

    def attempt(file: Path, read: Callable[[], list[DicomLayer]]) -> None:
        try:
            with guarded(file):
                layers.extend(read())
        except InputError as error:
            if left_out is None:
                raise
            refused.append(str(error))

    for file, dataset in found:
        kind = str(dataset.get("SOPClassUID", ""))
        if kind in _SERIES:
            series[str(dataset.get("SeriesInstanceUID", file))].append((file, dataset))
        elif kind in _NO_PICTURES or not any(word in dataset for word in ("PixelData", "FloatPixelData")):
            passed.append(uid.UID(kind).name or "of an unknown class")
        else:
            read = _OTHERS.get(uid.UID(kind), picture_layers)
            attempt(file, partial(read, dataset, file))
    for items in series.values():
        first = items[0][0]
        attempt(first, partial(series_layers, items, first if len(items) == 1 else first.parent))
    if not layers:
        kinds = ", ".join(sorted(set(passed)))
        raise InputError(
            refused[0]
            if refused
            else f"{path}: the DICOM object is {kinds}; give images, a Parametric Map or a Segmentation."
        )
    if left_out is not None:
        left_out += refused
    return tuple(layers)
