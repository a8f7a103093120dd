"""Pictures without a place in space; ultrasound is cut to its calibrated regions, so that a pixel has a size."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import pixels

_NAMES = {"US": "ultrasound", "IVUS": "ultrasound"}
_TISSUE, _CENTIMETRES = 1, 3
_FRAME = 1e-3
_UNKNOWN = 1e-3


def picture_layers(dataset: Dataset, path: Path) -> list[DicomLayer]:
    """One layer for every two-dimensional region with a scale in centimetres, or the whole picture.

    A picture without a scale counts a millimetre for a pixel, and its name says so. A region's reference
    pixel, such as the face of the transducer, becomes the origin.

    Args:
        dataset: US Image or US Multi-frame Image, or another picture.
        path: For names and errors' sentences.

    Raises:
        InputError: If the pixels cannot be read.
    """
    values = pixels(dataset, path)
    name = str(dataset.get("SeriesDescription") or "").strip() or _NAMES.get(
        str(dataset.get("Modality", "US")), "picture"
    )
    regions = [region for region in dataset.get("SequenceOfUltrasoundRegions") or () if _is_scaled(region)]
    if not regions:
        spacing = dataset.get("PixelSpacing")
        if spacing is not None and len(spacing) == 2 and min(map(float, spacing)) > 0:
            return [_layer(name, values, (float(spacing[0]) * 1e-3, float(spacing[1]) * 1e-3), (0.0, 0.0))]
        return [_layer(f"{name} (no scale)", values, (_UNKNOWN, _UNKNOWN), (0.0, 0.0))]
    layers = []
    for number, region in enumerate(regions, 1):
        x0, y0, x1, y1 = (
            int(region[f"RegionLocation{corner}"].value) for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        )
        dy, dx = abs(float(region.PhysicalDeltaY)) * 1e-2, abs(float(region.PhysicalDeltaX)) * 1e-2
        corner = (
            -dy * float(region.get("ReferencePixelY0") or 0),
            -dx * float(region.get("ReferencePixelX0") or 0),
        )
        cut = values[:, max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]
        if cut.size:
            title = name if len(regions) == 1 else f"{name} region {number}"
            layers.append(_layer(title, cut, (dy, dx), corner))
    return layers or [_layer(f"{name} (no scale)", values, (_UNKNOWN, _UNKNOWN), (0.0, 0.0))]


def _is_scaled(region: Dataset) -> bool:
    """Whether a region is a picture of tissue whose axes are lengths."""
    lengths = all(region.get(f"PhysicalUnits{axis}Direction") == _CENTIMETRES for axis in "XY")
    deltas = all(float(region.get(f"PhysicalDelta{axis}") or 0) != 0 for axis in "XY")
    return region.get("RegionSpatialFormat") == _TISSUE and lengths and deltas


def _layer(
    name: str, values: np.ndarray, spacing: tuple[float, float], origin: tuple[float, float]
) -> DicomLayer:
    """A still picture, or frames in time."""
    rgb = values.ndim == 4
    if len(values) == 1:
        return DicomLayer(name, "image", values[0], spacing, origin, "", rgb)
    return DicomLayer(name, "image", values, (_FRAME, *spacing), (0.0, *origin), "", rgb)
