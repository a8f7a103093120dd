"""Label maps of other programs turned into phantoms: their numbers mapped to tissues, and tissues to properties."""

from collections.abc import Mapping

import numpy as np
import torch

from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.phantom.tissue import load_tissues

VICTRE: Mapping[int, str] = {
    0: "water",
    1: "fat",
    2: "skin",
    29: "gland",
    33: "skin",
    40: "muscle",
    88: "ligament",
    95: "gland",
    125: "gland",
    150: "blood",
    200: "malignant",
    225: "blood",
}
"""Labels of VICTRE's breastPhantom and of the numerical breast phantoms made from it, nipple as skin, ducts and
terminal units as gland (Li, Villa, Park, Anastasio, IEEE Trans. Ultrason. 69 (2022) 135)."""


def phantom_from_labels(
    values: np.ndarray,
    spacing: float,
    names: Mapping[int, str],
    tissue_preset: str = "",
    power: str = "heterogeneous",
    seed: int | None = None,
    title: str = "",
) -> Phantom:
    """Make a phantom of a slice or a volume of labels.

    Args:
        values: Labels, shape (y, x) or (z, y, x), integers.
        spacing: Distance between nodes [m].
        names: Label to tissue of the preset; `VICTRE`, or what a list of labels such as MIDA's says. A label
            that is no tissue of ours, such as an artefact, may be given as "water".
        tissue_preset: Preset of the tissue table; empty for the default.
        power: Density class, or "head", whose exponent of the power law is taken.
        seed: Draw each tissue's properties; None takes their means.
        title: A name for people.

    Raises:
        InputError: If a label has no name, or the preset lacks a tissue.
    """
    if values.ndim not in (2, 3) or values.dtype.kind not in "iu":
        raise InputError(
            f"labels are {values.dtype} of shape {values.shape}; give integers on two or three axes"
        )
    table = load_tissues(tissue_preset)
    found = [int(label) for label in np.unique(values)]
    for label in found:
        if label not in names:
            raise InputError(f"label {label} has no tissue; name one for it, known are {sorted(names)}")
        if names[label] not in table.tissues:
            raise InputError(
                f"label {label} is {names[label]}, which preset {table.preset} lacks; choose another preset or tissue"
            )
    if power not in table.attenuation_power:
        raise InputError(f"there is no power law {power!r}; choose from {', '.join(table.attenuation_power)}")
    tissues = ("water", *sorted({names[label] for label in found} - {"water"}))
    rng = None if seed is None else np.random.default_rng([1, seed])
    draws = [table.tissues[name] for name in tissues]
    speed, density, attenuation = (
        np.array([d.mean if rng is None else d.sample(rng) for d in column])
        for column in zip(*((t.sound_speed, t.density, t.attenuation) for t in draws), strict=True)
    )
    index = np.zeros(max(found) - min(found) + 1, dtype=np.int16)
    for label in found:
        index[label - min(found)] = tissues.index(names[label])
    labels = index[values.astype(np.int64) - min(found)]
    medium = Medium(
        Grid.centred(values.shape, spacing),
        torch.from_numpy(speed[labels]),
        torch.from_numpy(attenuation[labels]),
        torch.from_numpy(density[labels]),
        attenuation_power=table.attenuation_power[power],
        reference_frequency=table.reference_frequency,
    )
    provenance = {"tissue_preset": table.preset, "seed": "means" if seed is None else str(seed)}
    return Phantom(medium, torch.from_numpy(labels), tissues, title, provenance)
