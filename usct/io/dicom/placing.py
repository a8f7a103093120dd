"""Where the pixels of a DICOM object lie: frames in order, their spacing and their first coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from usct.errors import InputError
from usct.grid import Grid
from usct.io.dicom.layers import Space

_MM = 1e-3
_UNEVEN = 0.02
_SAME_PLACE = 1e-3
_SHIFT = 0.5
"""Of a pixel, by which slices may be shifted within their planes."""


@dataclass(frozen=True)
class Lattice:
    """Where the values of a map lie in a patient.

    Attributes:
        spacing: Along (y, x) or (z, y, x) [m].
        origin: Coordinates of the first value along the same axes [m].
        space: Directions of the axes; by default the patient's own.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    space: Space = Space()

    @classmethod
    def of(cls, grid: Grid) -> "Lattice":
        """Nodes of a grid, whose x, y and z become the patient's."""
        return cls((grid.spacing,) * grid.n_dims, grid.origin)

    @property
    def pixel(self) -> list[float]:
        """Distance between rows, and between columns [mm], in DICOM's sixteen characters."""
        return [round(step / _MM, 9) for step in self.spacing[-2:]]

    @property
    def thickness(self) -> float:
        """Distance between frames [mm]; of a single one the distance between its columns."""
        return round((self.spacing[0] if len(self.spacing) == 3 else self.spacing[-1]) / _MM, 9)

    @property
    def cosines(self) -> list[float]:
        """Directions of the rows and of the columns."""
        return [round(v, 12) for axis in self.space.axes[:2] for v in axis]

    def corner(self, frame: int) -> list[float]:
        """Position of the first value of a frame, order (x, y, z) [mm]; ten digits, as DICOM's numbers are short."""
        y, x = self.origin[-2:]
        z = self.origin[0] + frame * self.spacing[0] if len(self.origin) == 3 else self.space.depth
        return [round(float(v) / _MM, 7) for v in np.array([x, y, z]) @ np.array(self.space.axes)]


@dataclass(frozen=True)
class Plane:
    """Where one frame lies.

    Attributes:
        position: Of the middle of its first pixel, order (x, y, z) [mm].
        axes: Unit vectors along the columns' index, the rows' index, and across, shape (3, 3).
        spacing: Of rows and of columns [mm].
        thickness: What the object says lies between frames [mm], or 0.
    """

    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]
    thickness: float

    @property
    def depth(self) -> float:
        """Coordinate across the frame [mm]."""
        return float(self.position @ self.axes[2])


def group(dataset: Dataset, frame: int, name: str) -> Dataset | None:
    """An item of a frame's functional groups, its own before the shared one, or None."""
    own, shared = (
        dataset.get("PerFrameFunctionalGroupsSequence"),
        dataset.get("SharedFunctionalGroupsSequence"),
    )
    for holder in (own[frame] if own and frame < len(own) else None, shared[0] if shared else None):
        if holder is not None and holder.get(name):
            return holder[name].value[0]
    return None


def plane(dataset: Dataset, frame: int, path: Path) -> Plane:
    """Where a frame lies, from its functional groups or from the object itself; at zero where it says nothing.

    Raises:
        InputError: If there is no spacing, or one that cannot be.
    """
    measures = group(dataset, frame, "PixelMeasuresSequence") or dataset
    place = (
        group(dataset, frame, "PlanePositionSequence")
        or group(dataset, frame, "PlanePositionVolumeSequence")
        or dataset
    )
    turn = (
        group(dataset, frame, "PlaneOrientationSequence")
        or group(dataset, frame, "PlaneOrientationVolumeSequence")
        or dataset
    )
    spacing = measures.get("PixelSpacing") or measures.get("ImagerPixelSpacing")
    if spacing is None or len(spacing) != 2 or min(map(float, spacing)) <= 0:
        raise InputError(
            f"{path}: the pixels have no spacing (PixelSpacing is {spacing}); export the image with it."
        )
    position = np.array(
        place.get("ImagePositionPatient") or place.get("ImagePositionVolume") or (0, 0, 0), float
    )
    cosines = np.array(
        turn.get("ImageOrientationPatient") or turn.get("ImageOrientationVolume") or (1, 0, 0, 0, 1, 0), float
    )
    if position.shape != (3,) or cosines.shape != (6,) or not np.isfinite([*position, *cosines]).all():
        raise InputError(f"{path}: the position or orientation of the image is incomplete; export it again.")
    across = np.cross(cosines[:3], cosines[3:])
    if abs(float(np.linalg.norm(across)) - 1) > _UNEVEN:
        raise InputError(
            f"{path}: the orientation {cosines.tolist()} is no right angle; export the image again."
        )
    thickness = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0)
    axes = np.stack([cosines[:3], cosines[3:], across])
    return Plane(position, axes, (float(spacing[0]), float(spacing[1])), abs(thickness))


def space_of(dataset: Dataset, planes: Sequence[Plane]) -> Space | None:
    """The patient's coordinates in which parallel frames lie, or None where the object names none."""
    name = str(dataset.get("FrameOfReferenceUID") or "")
    if not name:
        return None
    return Space(tuple((float(x), float(y), float(z)) for x, y, z in planes[0].axes), name)


def stack(
    planes: Sequence[Plane], path: Path
) -> tuple[np.ndarray, tuple[float, float, float], tuple[float, float, float]]:
    """Order frames along the direction across them, and place the volume.

    Args:
        planes: Of every frame.
        path: For the errors' sentences.

    Returns:
        Which slice each frame belongs to, shape (frame,); spacing and origin (z, y, x) [m].

    Raises:
        InputError: If the frames are not parallel, differ in size of pixels, or have gaps.
    """
    first = planes[0]
    if any(not np.allclose(p.axes, first.axes, atol=1e-3) or p.spacing != first.spacing for p in planes):
        raise InputError(
            f"{path}: the slices differ in direction or size of pixels; give one series at a time."
        )
    depths = np.array([p.depth for p in planes])
    levels = np.array(sorted(depths))
    levels = levels[np.concatenate([[True], np.diff(levels) > _SAME_PLACE])]
    steps = np.diff(levels)
    step = float(np.median(steps)) if len(steps) else first.thickness or first.spacing[0]
    if len(steps) and np.abs(steps - step).max() > _UNEVEN * step:
        worst = int(np.abs(steps - step).argmax())
        raise InputError(
            f"{path}: slices {worst + 1} and {worst + 2} lie {steps[worst]:.4g} mm apart and the others {step:.4g} mm; "
            "export the whole series."
        )
    across = np.array([[p.position @ axis for axis in first.axes[:2]] for p in planes])
    if np.ptp(across, axis=0).max() > _SHIFT * min(first.spacing):
        raise InputError(
            f"{path}: slices are shifted against each other by up to {np.ptp(across, axis=0).max():.4g} mm, as of a "
            "tilted gantry; resample the series to upright slices."
        )
    lowest = planes[int(depths.argmin())]
    x, y = (float(lowest.position @ axis) for axis in lowest.axes[:2])
    index = np.abs(depths[:, None] - levels[None]).argmin(axis=1)
    spacing = (step * _MM, first.spacing[0] * _MM, first.spacing[1] * _MM)
    return index, spacing, (float(levels[0]) * _MM, y * _MM, x * _MM)
