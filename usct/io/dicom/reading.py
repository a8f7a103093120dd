"""DICOM objects as layers, by what their SOP class says they are."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from usct.errors import InputError
from usct.io.dicom import derived
from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import guarded, open_all, pixels
from usct.io.dicom.placing import plane, space_of, stack
from usct.io.dicom.ultrasound import ultrasound_layers

_ULTRASOUND = {uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage}
_SERIES = {
    uid.CTImageStorage,
    uid.MRImageStorage,
    uid.EnhancedCTImageStorage,
    uid.EnhancedMRImageStorage,
    uid.EnhancedUSVolumeStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
}


def read_dicom(path: Path) -> tuple[DicomLayer, ...]:
    """Read the images, maps and labels of a DICOM file, or of a folder.

    Ultrasound images come by their calibrated regions; CT (in Hounsfield units) and MR by series, sorted in
    space; Parametric Maps and Segmentations in their own units and numbers. Objects without a picture, such
    as reports, are passed over in a folder.

    Args:
        path: A file, or a folder whose files and folders are looked through.

    Returns:
        At least one layer, in the order of the file names.

    Raises:
        InputError: If nothing can be shown, or a file is no DICOM, damaged, or has no scale.
    """
    path = Path(path)
    found = open_all(path)
    series: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    layers: list[DicomLayer] = []
    passed: list[str] = []
    for file, dataset in found:
        with guarded(file):
            kind = dataset.get("SOPClassUID", "")
            if kind in _ULTRASOUND:
                layers += ultrasound_layers(dataset, file)
            elif kind == uid.ParametricMapStorage:
                layers += derived.map_layers(dataset, file)
            elif kind == uid.SegmentationStorage:
                layers += derived.label_layers(dataset, file)
            elif kind in _SERIES:
                series[str(dataset.get("SeriesInstanceUID", file))].append((file, dataset))
            else:
                passed.append(uid.UID(kind).name or "of an unknown class")
    for items in series.values():
        with guarded(items[0][0]):
            layers.append(_series_layer(items, path))
    if not layers:
        raise InputError(
            f"{path}: the DICOM object is {', '.join(sorted(set(passed)))}; give ultrasound, CT or MR images, a "
            "Parametric Map or a Segmentation."
        )
    return tuple(layers)


def _series_layer(items: list[tuple[Path, Dataset]], path: Path) -> DicomLayer:
    """A CT, MR or ultrasound volume from single or enhanced objects of one series."""
    frames, planes = [], []
    for file, dataset in items:
        values = pixels(dataset, file)
        if values.ndim != 3:
            raise InputError(f"{file}: the image is in colour; give a series of grey values.")
        for frame in range(len(values)):
            frames.append(_rescaled(values[frame], dataset, frame))
            planes.append(plane(dataset, frame, file))
    if len({values.shape for values in frames}) > 1:
        raise InputError(f"{path}: the slices of a series differ in size; give one series at a time.")
    index, spacing, origin = stack(planes, path)
    first = items[0][1]
    if len(set(index.tolist())) < len(frames):
        raise InputError(
            f"{path}: {len(frames)} images lie at {index.max() + 1} places; give one phase or echo at a time."
        )
    modality = str(first.get("Modality", "image"))
    name = str(first.get("SeriesDescription") or "").strip() or modality
    volume = np.empty((len(frames), *frames[0].shape), np.float32)
    volume[index] = frames
    unit = "[hnsf'U]" if modality == "CT" else ""
    return derived.flattened(
        DicomLayer(name, "image", volume, spacing, origin, unit, space=space_of(first, planes))
    )


def _rescaled(values: np.ndarray, dataset: Dataset, frame: int) -> np.ndarray:
    """Stored values to those of the modality, float32."""
    line = derived.group_or_self(dataset, frame, "PixelValueTransformationSequence")
    slope, intercept = float(line.get("RescaleSlope") or 1), float(line.get("RescaleIntercept") or 0)
    return (values.astype(np.float64) * slope + intercept).astype(np.float32)
