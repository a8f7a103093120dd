"""Numbers of regions as a structured report (PS3.16, TID 1500)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import usct
from usct.grid import Grid
from usct.io.dicom.study import MANUFACTURER, Study
from usct.io.dicom.writing import finish, highdicom
from usct.io.quantities import Quantity

_STATISTICS = (
    (Code("373098007", "SCT", "Mean"), np.mean),
    (Code("386136009", "SCT", "Standard Deviation"), np.std),
    (Code("255605001", "SCT", "Minimum"), np.min),
    (Code("56851009", "SCT", "Maximum"), np.max),
)
_PROCEDURE = Code("16310003", "SCT", "Ultrasonography")


def write_report(
    values: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    grid: Grid,
    quantity: Quantity,
    path: Path,
    study: Study,
    image: Dataset,
    segmentation: Dataset,
) -> Dataset:
    """Write mean, standard deviation, extremes and size of every segment as a Comprehensive 3D SR.

    Args:
        values: Of the map, shape grid.shape, in SI units.
        labels: Of the segments, same shape; 0 is outside.
        names: Of the numbers from 1 on.
        grid: Where they are.
        quantity: What the values mean.
        path: File to write.
        study: What the object shares with others.
        image: The map, from `write_parametric_map`.
        segmentation: The labels, from `write_segmentation`.

    Returns:
        The object.

    Raises:
        InputError: If highdicom is missing or the file cannot be written.
    """
    hd = highdicom(path)
    sr = hd.sr
    observer = sr.ObserverContext(
        Code("121007", "DCM", "Device"), sr.DeviceObserverIdentifyingAttributes(uid.generate_uid(), "usct")
    )
    groups = []
    for number in (int(n) for n in np.unique(labels) if n > 0):
        inside = quantity.factor * np.asarray(values, dtype=np.float64)[labels == number]
        unit = Code(quantity.unit, "UCUM", quantity.unit)
        found = [
            sr.Measurement(Code(*quantity.code), _short(float(of(inside))), unit, derivation=word)
            for word, of in _STATISTICS
        ]
        groups.append(
            sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                sr.TrackingIdentifier(uid.generate_uid(), names[number - 1]),
                referenced_segment=sr.ReferencedSegment(
                    segmentation.SOPClassUID,
                    segmentation.SOPInstanceUID,
                    number,
                    source_images=[sr.SourceImageForSegmentation(image.SOPClassUID, image.SOPInstanceUID)],
                ),
                finding_type=Code("85756007", "SCT", "Body tissue structure"),
                measurements=[*found, _size(sr, len(inside), grid)],
            )
        )
    content = sr.MeasurementReport(
        sr.ObservationContext(observer_device_context=observer), _PROCEDURE, groups
    )
    dataset = sr.Comprehensive3DSR(
        [image, segmentation],
        content[0],
        uid.generate_uid(),
        40,
        uid.generate_uid(),
        1,
        MANUFACTURER,
        is_complete=True,
    )
    dataset.ManufacturerModelName, dataset.SoftwareVersions = MANUFACTURER, usct.__version__
    return finish(dataset, f"{quantity.name} by tissue", path, study)


def _size(sr: object, n_cells: int, grid: Grid) -> Dataset:
    """Area or volume of some cells."""
    names = {
        2: (Code("42798000", "SCT", "Area"), "mm2"),
        3: (Code("118565006", "SCT", "Volume"), "mm3"),
    }
    name, unit = names[grid.n_dims]
    size = n_cells * (1e3 * grid.spacing) ** grid.n_dims
    return sr.Measurement(name, _short(size), Code(unit, "UCUM", unit))  # type: ignore[attr-defined]


def _short(value: float) -> float:
    """A number that DICOM's sixteen characters hold."""
    return float(f"{value:.9g}")
