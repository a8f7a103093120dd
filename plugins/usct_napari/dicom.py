"""Images, maps and labels of DICOM files as layers: plain layer data, made without a window."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usct.io.dicom import DicomLayer
from usct.units import MILLIMETRE
from usct_napari.sourcing import LayerData, Source, named

PLAIN = {"[hnsf'U]": "HU"}
"""Units that people write in another way than UCUM does."""


def dicom_layers(found: Sequence[DicomLayer], path: Path) -> list[LayerData]:
    """All that a DICOM file or folder shows, the lowest first.

    Args:
        found: From `usct.io.dicom.read_dicom`.
        path: The file or folder.
    """
    largest = max(found, key=lambda layer: layer.values.size)
    return [_layer(layer, path, visible=_is_beside(layer, largest)) for layer in found]


def _is_beside(layer: DicomLayer, other: DicomLayer) -> bool:
    """Whether two lie in the same coordinates; a pilot image across a volume would only cover it."""
    return layer is other or (layer.values.ndim == other.values.ndim and layer.space == other.space)


def _layer(layer: DicomLayer, path: Path, visible: bool) -> LayerData:
    n_axes = len(layer.spacing)
    unit = f" [{PLAIN.get(layer.unit, layer.unit)}]" if layer.unit else ""
    facts: dict[str, Any] = {
        "name": named(f"{layer.name}{unit}", path),
        "scale": tuple(step / MILLIMETRE for step in layer.spacing),
        "translate": tuple(start / MILLIMETRE for start in layer.origin),
        "units": ("mm",) * n_axes,
        "axis_labels": ("z", "y", "x")[-n_axes:],
        "visible": visible,
        "metadata": {
            "usct": Source(path, "dicom", layer.kind, has_bar=layer.kind == "map", space=layer.space)
        },
    }
    if layer.kind == "labels":
        named_segments = ((0, "outside"), *layer.segments)
        features = {"index": [n for n, _ in named_segments], "segment": [name for _, name in named_segments]}
        return layer.values.astype(np.int32), facts | {"opacity": 0.6, "features": features}, "labels"
    if layer.rgb:
        return layer.values, facts | {"rgb": True}, "image"
    colours = "inferno" if layer.kind == "map" else "gray"
    return layer.values, facts | {"colormap": colours, "contrast_limits": _window(layer.values)}, "image"


def _window(values: np.ndarray) -> tuple[float, float]:
    """Values between which all but one part in a hundred lie, told from about a million of them."""
    some = values.reshape(-1)[:: max(1, values.size // 1_000_000)]
    finite = some[np.isfinite(some)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (0.5, 99.5)))
    return low, max(high, low + 1e-6)
