"""What a DICOM object shows, with its place in space."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Space:
    """A patient's coordinates, as some images see them.

    Attributes:
        axes: Unit vectors along x, y and z of the images, each in the patient's (x, y, z): left, back, up.
        uid: Of the frame of reference that all images of one examination share.
        depth: Coordinate along the third axis of what has but two [m].
    """

    axes: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    uid: str = ""
    depth: float = 0.0


@dataclass(frozen=True)
class DicomLayer:
    """One picture, map or set of labels.

    Attributes:
        name: For people; never a patient's name.
        kind: 'image' for grey values and colours, 'map' for a quantity with a unit, 'labels' for whole numbers.
        values: Shape (y, x), (z, y, x) or (frame, y, x), and one more axis of three colours if `rgb`.
        spacing: Distance between neighbours along each axis but that of colours [m]; frames in time count as
            one millimetre apart.
        origin: Coordinates of the first value along the same axes [m]; for patients these point left (x),
            back (y) and up (z).
        unit: UCUM code of the values, '' where they have none.
        rgb: Whether the last axis holds colours.
        space: The patient's coordinates, or None where the object lies in nobody's.
        segments: Number and name of each label.
    """

    name: str
    kind: Literal["image", "map", "labels"]
    values: np.ndarray
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    unit: str = ""
    rgb: bool = False
    space: Space | None = None
    segments: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        """Check that every axis has its spacing and origin."""
        n_axes = self.values.ndim - self.rgb
        if len(self.spacing) != n_axes or len(self.origin) != n_axes:
            raise ValueError(
                f"values have {n_axes} axes, spacing {len(self.spacing)} and origin {len(self.origin)}"
            )
