"""Volumes from the slices of a series, sorted in space."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from usct.errors import InputError
from usct.io.dicom import derived
from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import pixels
from usct.io.dicom.placing import Plane, plane, space_of, stack

_UNITS = {"CT": "[hnsf'U]"}
_SAME_PLACE = 1e-3


@dataclass(frozen=True)
class Slice:
    """One frame of a series.

    Attributes:
        values: In the modality's units, shape (y, x), float32.
        plane: Where it lies.
        dataset: The object that it is of.
        number: Of the instance, by which images at one place are told apart.
    """

    values: np.ndarray
    plane: Plane
    dataset: Dataset
    number: int


def series_layers(items: list[tuple[Path, Dataset]], path: Path) -> list[DicomLayer]:
    """CT (in Hounsfield units), MR, PET or ultrasound volumes from single or enhanced objects of one series.

    Slices of different directions or sizes, as of a localizer, are volumes of their own, and so are the images
    that lie at the same places: phases, echoes.

    Args:
        items: Files and what is in them.
        path: For the errors' sentences.

    Raises:
        InputError: If slices are missing, shifted against each other, or in colour.
    """
    found = [each for file, dataset in items for each in _slices(file, dataset)]
    kinds: dict[object, list[Slice]] = defaultdict(list)
    for each in found:
        direction = tuple(np.round(each.plane.axes, 3).ravel())
        kinds[direction, each.plane.spacing, each.values.shape].append(each)
    volumes = [volume for alike in kinds.values() for volume in _by_place(alike, path)]
    return [
        _layer(volume, path, f" {number}" if len(volumes) > 1 else "")
        for number, volume in enumerate(volumes, 1)
    ]


def _slices(file: Path, dataset: Dataset) -> list[Slice]:
    values = pixels(dataset, file)
    if values.ndim != 3:
        raise InputError(f"{file}: the image is in colour; give a series of grey values.")
    number = int(dataset.get("InstanceNumber") or 0)
    return [
        Slice(_rescaled(values[n], dataset, n), plane(dataset, n, file), dataset, number)
        for n in range(len(values))
    ]


def _by_place(slices: list[Slice], path: Path) -> list[list[Slice]]:
    """Images at one place, in the order of their numbers, shared out to as many volumes."""
    places: dict[int, list[Slice]] = defaultdict(list)
    for each in sorted(slices, key=lambda s: s.number):
        places[round(each.plane.depth / _SAME_PLACE)].append(each)
    counts = {len(alike) for alike in places.values()}
    if len(counts) > 1:
        raise InputError(
            f"{path}: {len(slices)} images lie at {len(places)} places; give one phase or echo at a time."
        )
    return [[alike[n] for alike in places.values()] for n in range(counts.pop())]


def _layer(slices: list[Slice], path: Path, suffix: str) -> DicomLayer:
    planes, first = [each.plane for each in slices], slices[0].dataset
    index, spacing, origin = stack(planes, path)
    modality = str(first.get("Modality", "image"))
    name = (str(first.get("SeriesDescription") or "").strip() or modality) + suffix
    volume = np.empty((len(slices), *slices[0].values.shape), np.float32)
    volume[index] = [each.values for each in slices]
    unit = _UNITS.get(modality, "")
    return derived.flattened(
        DicomLayer(name, "image", volume, spacing, origin, unit, space=space_of(first, planes))
    )


def _rescaled(values: np.ndarray, dataset: Dataset, frame: int) -> np.ndarray:
    """Stored values to those of the modality, float32."""
    line = derived.group_or_self(dataset, frame, "PixelValueTransformationSequence")
    slope, intercept = float(line.get("RescaleSlope") or 1), float(line.get("RescaleIntercept") or 0)
    return (values.astype(np.float64) * slope + intercept).astype(np.float32)
