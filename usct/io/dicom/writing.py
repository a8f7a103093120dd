"""Images, labels and measurements as DICOM objects, made with highdicom, which the extra `dicom` brings."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import usct
from usct.errors import InputError
from usct.grid import Grid
from usct.io.dicom.placing import Lattice
from usct.io.dicom.study import MANUFACTURER, Study, add_anatomy, blank, save
from usct.io.quantities import Quantity

_DANGLING = ("ReferencedSeriesSequence", "DerivationImageSequence")
_TISSUE = Code("85756007", "SCT", "Body tissue structure")


def highdicom(path: Path) -> ModuleType:
    """The library that writes images.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import highdicom
    except ImportError:
        raise InputError(
            f"{path}: writing DICOM images needs highdicom, which is not installed; run pip install 'usct[dicom]'."
        ) from None
    return highdicom


def write_parametric_map(
    values: np.ndarray, grid: Grid, quantity: Quantity, path: Path, study: Study
) -> Dataset:
    """Write a map as a Parametric Map of 32-bit reals, with coded quantity and UCUM unit.

    Args:
        values: Shape grid.shape, in SI units; written in the quantity's own.
        grid: Where the values are; x, y and z become the patient's.
        quantity: What the values mean.
        path: File to write.
        study: What the object shares with others.

    Returns:
        The object, for others that refer to it.

    Raises:
        InputError: If highdicom is missing, a value is not finite, or the file cannot be written.
    """
    hd = highdicom(path)
    shown = np.ascontiguousarray(quantity.factor * np.asarray(values, dtype=np.float64), dtype=np.float32)
    if not np.isfinite(shown).all():
        raise InputError(f"{path}: {quantity.name} holds values that are not finite; fill them in.")
    low, high = float(shown.min()), float(shown.max())
    lattice, frames = Lattice.of(grid), _frames(shown)
    mapping = hd.pm.RealWorldValueMapping(
        quantity.short,
        quantity.name,
        Code(quantity.unit, "UCUM", quantity.unit),
        (low, high),
        1.0,
        0.0,
        quantity_definition=Code(*quantity.code),
    )
    dataset = hd.pm.ParametricMap(
        [_place(lattice, shown.shape, study)],
        frames,
        series_instance_uid=uid.generate_uid(),
        real_world_value_mappings=[mapping],
        contains_recognizable_visual_features=False,
        # Of windows narrower than one, such as a loss in dB/cm, the plain linear function is not allowed.
        voi_lut_transformations=[
            hd.VOILUTTransformation(
                0.5 * (low + high), max(high - low, 1e-6), voi_lut_function="LINEAR_EXACT"
            )
        ],
        content_label=quantity.short,
        content_description=quantity.name,
        **_position(hd, lattice, len(frames)),
        **_maker(10),
    )
    return finish(dataset, quantity.name, path, study)


def write_segmentation(
    labels: np.ndarray,
    names: Sequence[str],
    place: Grid | Lattice,
    path: Path,
    study: Study,
    source: Dataset | None = None,
    by_hand: bool = False,
) -> Dataset:
    """Write labels as a Segmentation, one segment for every number above zero.

    Args:
        labels: Whole numbers, shape (y, x) or (z, y, x); 0 is outside.
        names: Of the numbers from 1 on.
        place: Where the labels are.
        path: File to write.
        study: What the object shares with others.
        source: The map that was segmented, from `write_parametric_map`; None where there is none to refer to.
        by_hand: Somebody drew them.

    Returns:
        The object.

    Raises:
        InputError: If no cell is labelled, a name is missing, or the file cannot be written.
    """
    hd = highdicom(path)
    used = [int(n) for n in np.unique(labels) if n > 0]
    if not used:
        raise InputError(f"{path}: nothing is labelled; give labels above zero.")
    if used[-1] > len(names) or int(labels.min()) < 0:
        raise InputError(
            f"{path}: the labels are {used} with {len(names)} names; name every label from 1 on."
        )
    algorithm = hd.AlgorithmIdentificationSequence(
        "usct", Code("LABELS", "99USCT", "Label map"), usct.__version__
    )
    maker = ("MANUAL", None) if by_hand else ("AUTOMATIC", algorithm)
    segments = [
        hd.seg.SegmentDescription(number, names[number - 1], _TISSUE, _TISSUE, *maker)
        for number in range(1, used[-1] + 1)
    ]
    lattice = Lattice.of(place) if isinstance(place, Grid) else place
    frames = _frames(labels.astype(np.uint16))
    dataset = hd.seg.Segmentation(
        [source or _place(lattice, labels.shape, study)],
        frames,
        "BINARY",
        segments,
        series_instance_uid=uid.generate_uid(),
        content_label="TISSUES",
        content_description="Tissues",
        **_position(hd, lattice, len(frames)),
        **_maker(20),
    )
    # highdicom passes over the thickness of a single slice, without which the object is not valid.
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = lattice.thickness
    if source is None:
        _forget_sources(dataset)
    return finish(dataset, "Tissues", path, study)


def write_picture(picture: np.ndarray, path: Path, study: Study, name: str = "Picture") -> Dataset:
    """Write a picture as a Secondary Capture, for archives whose viewers know no maps.

    Args:
        picture: Shape (y, x) or (y, x, 3), uint8.
        path: File to write.
        study: What the object shares with others.
        name: For people.

    Raises:
        InputError: If the file cannot be written.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3):
        raise ValueError(f"picture must be uint8 (y, x) or (y, x, 3), got {picture.dtype} {picture.shape}")
    dataset = blank(uid.SecondaryCaptureImageStorage, study, uid.generate_uid(), 1)
    dataset.Modality, dataset.ConversionType, dataset.SeriesNumber = "OT", "WSD", 30
    dataset.SeriesDescription = name
    dataset.PatientOrientation = ""
    dataset.Rows, dataset.Columns = picture.shape[:2]
    colour = picture.ndim == 3
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.BurnedInAnnotation = "NO"
    content = picture.tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    del dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator
    save(dataset, path)
    return dataset


def _maker(series_number: int) -> dict[str, Any]:
    """Who made an object, in highdicom's words."""
    return {
        "series_number": series_number,
        "sop_instance_uid": uid.generate_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": usct.__version__,
        "device_serial_number": "0",
    }


def _frames(values: np.ndarray) -> np.ndarray:
    return values[np.newaxis] if values.ndim == 2 else values


def _place(lattice: Lattice, shape: tuple[int, ...], study: Study) -> Dataset:
    """An image that was never written, in the place of the map: highdicom asks for what a map is derived from."""
    dataset = blank(uid.MRImageStorage, study, uid.generate_uid(), 1)
    dataset.Rows, dataset.Columns = shape[-2:]
    dataset.PixelSpacing = lattice.pixel
    dataset.ImageOrientationPatient = lattice.cosines
    dataset.ImagePositionPatient = lattice.corner(0)
    dataset.SliceThickness = None
    return dataset


def _position(hd: ModuleType, lattice: Lattice, n_frames: int) -> dict[str, Any]:
    """Where the frames lie, in highdicom's words."""
    between = lattice.thickness if n_frames > 1 else None
    return {
        "pixel_measures": hd.PixelMeasuresSequence(lattice.pixel, lattice.thickness, between),
        "plane_orientation": hd.PlaneOrientationSequence("PATIENT", lattice.cosines),
        "plane_positions": [
            hd.PlanePositionSequence("PATIENT", lattice.corner(frame)) for frame in range(n_frames)
        ],
    }


def finish(dataset: Dataset, name: str, path: Path, study: Study) -> Dataset:
    """Say that nobody is named, and write."""
    dataset.SeriesDescription = name
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "No identity was ever written"
    for word in ("BodyPartExamined", "Laterality"):
        if word in dataset:
            del dataset[word]
    # Segments carry their own anatomy, and the class forbids that of the series.
    if dataset.SOPClassUID != uid.SegmentationStorage:
        add_anatomy(dataset, study)
    if dataset.SOPClassUID == uid.ParametricMapStorage:
        _forget_sources(dataset)
    save(dataset, path)
    return dataset


def _forget_sources(dataset: Dataset) -> None:
    """Drop references to images that were never written."""
    groups = [dataset, *dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence]
    for holder in groups:
        for word in _DANGLING:
            if word in holder:
                del holder[word]
