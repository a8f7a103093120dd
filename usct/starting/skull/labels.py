"""The skull of a segmented head: bone from its labels, everything else forgotten."""

import numpy as np

from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.phantom.tissue import load_tissues
from usct.starting.skull.model import BRAIN, SCALP, SKULL, WATER, Head, enclosed

BONE_SPEED = 1750.0
"""Between soft tissue and porous bone [m/s]."""


def skull_of(head: Phantom, whole: bool = True) -> Head:
    """A head's bone, and which cells are scalp and brain.

    Brain is what bone encloses, scalp what lies outside it. Nothing else is kept, so that an image that starts here
    knows nothing of the brain, not even where the head is a phantom that does.

    Args:
        head: One slice.
        whole: Whether its bone must enclose a brain.

    Raises:
        ValueError: If there is no bone, or it does not enclose anything, where it must.
    """
    medium, labels = head.medium, head.labels.numpy()
    if medium.grid.n_dims != 2:
        raise ValueError(f"the head has {medium.grid.n_dims} dimensions; give one slice")
    speed = medium.sound_speed.numpy()
    bone = speed > BONE_SPEED
    if whole and not bone.any():
        raise ValueError(
            f"nothing in this slice is as fast as bone, above {BONE_SPEED:g} m/s; name a label cortical or trabecular"
        )
    kinds = np.where(labels != 0, SCALP, WATER).astype(np.int16)
    kinds[enclosed(bone, medium.grid.spacing, whole)] = BRAIN
    kinds[bone] = SKULL
    table = load_tissues(head.provenance.get("tissue_preset", "itrusst"))
    provenance = {"bone_from": f"labels, table {table.preset}: {table.source}"}
    if bone.any():
        here = speed[bone]
        provenance["bone_speed"] = f"{here.min():.0f} to {here.max():.0f}, mean {here.mean():.0f} m/s"
        spreads = ", ".join(_spreads(head, bone))
        provenance["bone_speed_spread"] = spreads or "unknown: the head names no tissue of the table"
    return Head(
        kinds,
        medium.grid,
        speed.copy(),
        np.full(speed.shape, 1000.0) if medium.density is None else medium.density.numpy().copy(),
        medium.attenuation_at(table.reference_frequency).numpy().copy(),
        provenance,
    )


def slice_of_head(head: Phantom, height: float | None) -> Phantom:
    """The slice of a volume that is nearest to a height above its lowest [m]; None for the middle one.

    Raises:
        ValueError: If the height lies outside.
    """
    medium = head.medium
    if medium.grid.n_dims == 2:
        return head
    n, spacing = medium.grid.shape[0], medium.grid.spacing
    number = n // 2 if height is None else round(height / spacing)
    if not 0 <= number < n:
        raise ValueError(
            f"height {1e3 * (height or 0):g} mm lies outside the volume, 0 to {1e3 * spacing * (n - 1):g} mm"
        )
    flat = Medium(
        Grid(medium.grid.shape[1:], spacing, medium.grid.origin[1:]),
        medium.sound_speed[number],
        None if medium.attenuation is None else medium.attenuation[number],
        None if medium.density is None else medium.density[number],
        attenuation_power=medium.attenuation_power,
        reference_frequency=medium.reference_frequency,
    )
    return Phantom(flat, head.labels[number], head.tissues, head.title, head.provenance)


def _spreads(head: Phantom, bone: np.ndarray) -> list[str]:
    """What the table says of each tissue in the bone."""
    table = load_tissues(head.provenance.get("tissue_preset", "itrusst")).tissues
    names = [head.tissues[number] for number in np.unique(head.labels.numpy()[bone])]
    draws = [(name, table[name].sound_speed) for name in names if name in table]
    # Cells at the rim are labelled as what fills most of them.
    return [f"{name} {draw.mean:.0f} ± {draw.sd:.0f} m/s" for name, draw in draws if draw.mean > BONE_SPEED]
