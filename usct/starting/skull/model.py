"""A slice of a head's CT as a start model: bone found, properties mapped, placed in the ring."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.phantom.tissue import load_tissues
from usct.starting.skull.mappings import DENSEST_BONE_HU, MAPPINGS, bone_properties, speeds_by_mapping
from usct.starting.skull.registration import Rigid
from usct.units import MILLIMETRE

TISSUES = ("water", "scalp", "skull", "brain")
WATER, SCALP, SKULL, BRAIN = range(4)
BONE_HU = 300.0
"""Lowest of bone that half fills a voxel; soft tissue and clotted blood stay below 100 [HU]."""
BODY_HU = -300.0
"""Between air and soft tissue [HU]."""
AIR_HU = -1000
"""[HU]."""
GAP = 4 * MILLIMETRE
"""Sutures and thin bone are bridged up to this width when the inside is told from the outside [m]."""


@dataclass(frozen=True)
class CtSlice:
    """One transverse slice.

    Attributes:
        values: Shape (y, x) [HU].
        grid: Where the voxels' middles lie; its cells are square.
    """

    values: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        """Check that values and grid agree."""
        if self.values.shape != self.grid.shape or self.values.ndim != 2:
            raise ValueError(f"values have shape {self.values.shape}, the grid {self.grid.shape}")


def slice_of(volume: np.ndarray, spacing: tuple[float, float, float], height: float) -> CtSlice:
    """A transverse slice of a series, brought to square voxels, its middle at the origin.

    Args:
        volume: Shape (z, y, x) [HU].
        spacing: Of the three axes [m].
        height: Above the first image, between whose neighbours values are interpolated [m].

    Raises:
        ValueError: If the height lies outside the series.
    """
    index = height / spacing[0]
    if volume.ndim != 3 or not -1e-6 <= index <= len(volume) - 1 + 1e-6:
        top = 1e3 * spacing[0] * (len(volume) - 1)
        raise ValueError(f"height {1e3 * height:g} mm lies outside the series, 0 to {top:g} mm")
    below = min(int(max(index, 0.0)), len(volume) - 1)
    above = min(below + 1, len(volume) - 1)
    share = min(max(index - below, 0.0), 1.0)
    plane = (1 - share) * volume[below].astype(np.float64) + share * volume[above]
    finest = min(spacing[1:])
    if not np.isclose(spacing[1], spacing[2], rtol=1e-6):
        plane = ndimage.zoom(
            plane, (spacing[1] / finest, spacing[2] / finest), order=1, mode="nearest", grid_mode=True
        )
    return CtSlice(plane, Grid.centred(plane.shape, finest))


def segment(ct: CtSlice, bone_hu: float = BONE_HU, whole: bool = True) -> np.ndarray:
    """Index into `TISSUES` of every voxel, shape (y, x).

    The head is the largest body in the slice, which leaves out table and holder (of a volume, see `body_of`); its bone
    is what lies above a threshold, and the brain what bone surrounds.

    Args:
        ct: The slice.
        bone_hu: The threshold [HU].
        whole: Whether one bone must surround a brain; if not, all bodies and all their bone count, however little.

    Raises:
        ValueError: If there is no bone, or it does not surround anything, where it must.
    """
    bodies = ct.values > BODY_HU
    body = ndimage.binary_fill_holes(_largest(bodies) if whole else bodies)
    assert body is not None
    bone = body & (ct.values >= bone_hu)
    if whole and not bone.any():
        raise ValueError(f"the slice holds no bone above {bone_hu:g} HU; choose another height or threshold")
    bone = _largest(bone) if whole else bone
    brain = enclosed(bone, ct.grid.spacing, whole) & body
    labels = np.where(body, SCALP, WATER).astype(np.int16)
    labels[brain] = BRAIN
    labels[bone] = SKULL
    return labels


def body_of(volume: np.ndarray) -> np.ndarray:
    """A series with nothing but its largest body, all else being air: table and holder do not touch the head.

    Args:
        volume: Shape (z, y, x) [HU].
    """
    parts, _ = ndimage.label(volume > BODY_HU)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: np.ndarray = np.where(parts == np.argmax(sizes), volume, AIR_HU)
    return kept


def enclosed(bone: np.ndarray, spacing: float, whole: bool = True) -> np.ndarray:
    """What bone surrounds, sutures and thin places bridged.

    Args:
        bone: Boolean, shape (y, x).
        spacing: Of its cells [m].
        whole: Whether that must be something.

    Raises:
        ValueError: If that is less than the bone itself, but must not be.
    """
    reach = max(1, round(0.5 * GAP / spacing))
    disc = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1]) <= reach + 0.5
    wall = ndimage.binary_closing(np.pad(bone, reach), disc)[reach:-reach, reach:-reach] | bone
    inside = ndimage.binary_fill_holes(wall) & ~wall
    if whole and inside.sum() < bone.sum():
        raise ValueError("the bone in this slice does not surround a brain; choose a height above the orbits")
    # What closing bridged beyond the bone itself is brain where it touches the inside, else scalp.
    brain: np.ndarray = ndimage.binary_dilation(inside, disc, mask=wall & ~bone) | inside
    return brain


def outline(labels: np.ndarray, grid: Grid) -> np.ndarray:
    """Points (y, x) on the scalp, shape (n, 2) [m]."""
    head = labels != WATER
    rim = head & ~ndimage.binary_erosion(head)
    return grid.points().numpy()[rim]


@dataclass(frozen=True)
class Head:
    """A slice of a head, of which bone is known.

    Attributes:
        labels: Index into `TISSUES` of every cell, shape grid.shape.
        grid: Of the slice.
        sound_speed: Of bone [m/s]; elsewhere it does not matter. As the next two, shape grid.shape.
        density: [kg/m^3].
        attenuation: At the tissue table's reference frequency [Np/m].
        provenance: Where bone's properties come from, and how sure they are.
    """

    labels: np.ndarray
    grid: Grid
    sound_speed: np.ndarray
    density: np.ndarray
    attenuation: np.ndarray
    provenance: dict[str, str]


def head_of(
    ct: CtSlice,
    mapping: str = "kplan",
    densest_bone_hu: float = DENSEST_BONE_HU,
    bone_hu: float = BONE_HU,
    whole: bool = True,
) -> Head:
    """The head in a slice of CT.

    Args:
        ct: The slice.
        mapping: One of `MAPPINGS`.
        densest_bone_hu: Of bone without pores [HU].
        bone_hu: Threshold of bone [HU].
        whole: As for `segment`.

    Returns:
        The head; in its provenance the mapping, and the other mappings' mean speeds of the same bone.

    Raises:
        ValueError: As `segment` and `bone_properties`.
    """
    labels = segment(ct, bone_hu, whole)
    bone = bone_properties(ct.values, mapping, densest_bone_hu)
    if not (labels == SKULL).any():
        return Head(labels, ct.grid, bone.sound_speed, bone.density, bone.attenuation, {})
    speeds = speeds_by_mapping(ct.values[labels == SKULL], densest_bone_hu)
    provenance = {
        "bone_mapping": f"{mapping}: {MAPPINGS[mapping].source}",
        "bone_speed_by_mapping": ", ".join(f"{name} {speed:.0f} m/s" for name, speed in speeds.items()),
        "bone_speed_spread": f"{max(speeds.values()) - min(speeds.values()):.0f} m/s",
    }
    return Head(labels, ct.grid, bone.sound_speed, bone.density, bone.attenuation, provenance)


def placed(head: Head, motion: Rigid, target: Grid, water_sound_speed: float = 1500.0) -> Phantom:
    """A start model of a head in its ring: bone as it is known, uniform scalp and brain, water around.

    Properties are sampled where the motion takes them, at the slice's own resolution, and averaged over the cells
    of the target: slowness, density and attenuation, each of which adds up along a path.

    Args:
        head: One slice.
        motion: From its (y, x) to the ring's.
        target: Grid of the start model.
        water_sound_speed: Around the head [m/s].

    Returns:
        The model, what each cell is, and in its provenance that of the head and the registration's residual.
    """
    table = load_tissues("itrusst")
    soft = {SCALP: table.tissues["scalp"], BRAIN: table.tissues["white"], WATER: table.tissues["water"]}
    maps = [head.sound_speed.copy(), head.density.copy(), head.attenuation.copy()]
    for label, tissue in soft.items():
        for values, draw in zip(maps, (tissue.sound_speed, tissue.density, tissue.attenuation), strict=True):
            values[head.labels == label] = draw.mean
    maps[0][head.labels == WATER] = water_sound_speed
    maps[0] = 1.0 / maps[0]
    slowness, density, attenuation = (_placed(values, head.grid, motion, target) for values in maps)
    kinds = _nearest(head.labels, head.grid, motion, target)
    medium = Medium(
        target,
        torch.from_numpy(1.0 / slowness),
        torch.from_numpy(attenuation),
        torch.from_numpy(density),
        reference_frequency=table.reference_frequency,
    )
    provenance = head.provenance | {
        "registration_residual": f"{1e3 * motion.residual:.2f} mm",
        "tissue_preset": table.preset,
    }
    return Phantom(medium, torch.from_numpy(kinds), TISSUES, "Head with a known skull", provenance)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part, corners included."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return mask
    found: np.ndarray = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return found


def _index(motion: Rigid, source: Grid, target: Grid) -> np.ndarray:
    """Where the target's nodes lie in the source, as fractional indices, shape (2, *target.shape)."""
    points = motion.undo(target.points().reshape(-1, 2).numpy())
    return ((points - np.array(source.origin)) / source.spacing).T.reshape(2, *target.shape)


def _placed(values: np.ndarray, source: Grid, motion: Rigid, target: Grid) -> np.ndarray:
    """Values on the target, averaged first where its cells are wider than the source's."""
    width = target.spacing / source.spacing
    if width > 1:
        # The deviation of a box of the cell's width, so that no bone slips between two nodes.
        values = ndimage.gaussian_filter(values, width / np.sqrt(12.0), mode="nearest")
    placed: np.ndarray = ndimage.map_coordinates(
        values, _index(motion, source, target), order=1, mode="nearest"
    )
    return placed


def _nearest(labels: np.ndarray, source: Grid, motion: Rigid, target: Grid) -> np.ndarray:
    found: np.ndarray = ndimage.map_coordinates(
        labels, _index(motion, source, target), order=0, mode="constant", cval=WATER
    )
    return found
