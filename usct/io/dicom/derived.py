"""Parametric Maps and Segmentations as layers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from usct.errors import InputError
from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import pixels
from usct.io.dicom.placing import group, plane, space_of, stack


def group_or_self(dataset: Dataset, frame: int, name: str) -> Dataset:
    """An item of a frame's functional groups, or the object itself."""
    found = group(dataset, frame, name)
    return dataset if found is None else found


def map_layers(dataset: Dataset, path: Path) -> list[DicomLayer]:
    """One layer from a Parametric Map, in real-world values with their unit.

    Raises:
        InputError: If pixels or their places are missing.
    """
    values = pixels(dataset, path)
    planes = [plane(dataset, frame, path) for frame in range(len(values))]
    index, spacing, origin = stack(planes, path)
    if len(set(index.tolist())) < len(index):
        raise InputError(
            f"{path}: the map has several values at one place; store one quantity in one object."
        )
    volume = np.empty(values.shape, values.dtype if values.dtype.kind == "f" else np.float64)
    for frame, level in enumerate(index):
        mapping = group_or_self(dataset, frame, "RealWorldValueMappingSequence")
        slope = float(mapping.get("RealWorldValueSlope", 1.0))
        intercept = float(mapping.get("RealWorldValueIntercept", 0.0))
        plain = (slope, intercept) == (1.0, 0.0)
        volume[level] = values[frame] if plain else values[frame] * slope + intercept
    mapping = group_or_self(dataset, 0, "RealWorldValueMappingSequence")
    units = mapping.get("MeasurementUnitsCodeSequence")
    unit = str(units[0].get("CodeValue", "")) if units else ""
    name = str(mapping.get("LUTExplanation") or dataset.get("SeriesDescription") or "map").strip()
    return [
        flattened(DicomLayer(name, "map", volume, spacing, origin, unit, space=space_of(dataset, planes)))
    ]


def label_layers(dataset: Dataset, path: Path) -> list[DicomLayer]:
    """One layer from a Segmentation: 0 outside, and the numbers of the segments.

    Where segments overlap the one of the highest number is kept. Fractions of one half and more count.

    Raises:
        InputError: If pixels or their places are missing.
    """
    values = pixels(dataset, path)
    planes = [plane(dataset, frame, path) for frame in range(len(values))]
    index, spacing, origin = stack(planes, path)
    is_labelmap = dataset.get("SegmentationType") == "LABELMAP"
    threshold = 0.5 * float(dataset.get("MaximumFractionalValue") or 1)
    labels = np.zeros((int(index.max()) + 1, *values.shape[1:]), np.int32)
    for frame, level in enumerate(index):
        if is_labelmap:
            labels[level] = values[frame]
            continue
        identity = group(dataset, frame, "SegmentIdentificationSequence")
        number = int(identity.ReferencedSegmentNumber) if identity is not None else 1
        inside = np.where(values[frame] >= threshold, number, 0)
        labels[level] = np.maximum(labels[level], inside)
    segments = tuple(
        (int(segment.get("SegmentNumber", 0)), str(segment.get("SegmentLabel", "")))
        for segment in dataset.get("SegmentSequence") or ()
    )
    name = ", ".join(label for _, label in segments) or "segmentation"
    space = space_of(dataset, planes)
    return [flattened(DicomLayer(name, "labels", labels, spacing, origin, space=space, segments=segments))]


def flattened(volume: DicomLayer) -> DicomLayer:
    """A volume, or a plane where there is but one slice."""
    if len(volume.values) > 1:
        return volume
    space = None if volume.space is None else replace(volume.space, depth=volume.origin[0])
    (values,) = volume.values
    return replace(volume, values=values, spacing=volume.spacing[1:], origin=volume.origin[1:], space=space)
