"""Hounsfield units to sound speed, density and attenuation, by published mappings.

No mapping wins: on 19 pieces of skull, five of them erred by 20 to 31 % in pressure, so the choice is named, and what
the others would have said is reported beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from usct.units import attenuation_from_db

DENSEST_BONE_HU = 2000.0
"""Hounsfield units of bone without pores, where mappings ask for the scanner's own number [HU]."""

Points = tuple[float, ...]
_KPLAN_HU: Points = (-990.0, 60.0, 1000.0, 1950.0)
_KPLAN_DENSITY: Points = (1.2, 1060.0, 1530.0, 2150.0)


@dataclass(frozen=True)
class Bone:
    """What a mapping makes of Hounsfield units.

    Attributes:
        sound_speed: [m/s].
        density: [kg/m^3].
        attenuation: At 1 MHz, growing linearly with frequency [Np/m].
    """

    sound_speed: np.ndarray
    density: np.ndarray
    attenuation: np.ndarray


@dataclass(frozen=True)
class BoneMapping:
    """A published mapping of bone.

    Attributes:
        source: Where it was published, and what was filled in.
        convert: From Hounsfield units, any shape, and those of bone without pores.
    """

    source: str
    convert: Callable[[np.ndarray, float], Bone]


def _solid(hounsfield: np.ndarray, densest: float) -> np.ndarray:
    """Share of a voxel that is bone, one less the porosity [1]."""
    return np.clip(hounsfield / densest, 0.0, 1.0)


def _pore_loss(solid: np.ndarray) -> np.ndarray:
    return (0.2 + (8.0 - 0.2) * np.sqrt(1.0 - solid)) * attenuation_from_db(1.0)


def _aubry(hounsfield: np.ndarray, densest: float) -> Bone:
    solid = _solid(hounsfield, densest)
    return Bone(1500.0 + 1600.0 * solid, 1000.0 + 1200.0 * solid, _pore_loss(solid))


def _marsac(hounsfield: np.ndarray, densest: float) -> Bone:
    solid = _solid(hounsfield, densest)
    return Bone(1500.0 + 1500.0 * solid, 1000.0 + 1700.0 * solid, _pore_loss(solid))


def _kplan(hounsfield: np.ndarray, densest: float) -> Bone:  # noqa: ARG001 - its table is absolute
    density = np.interp(hounsfield, _KPLAN_HU, _KPLAN_DENSITY)
    return Bone(1.33 * density + 167.0, density, np.full(density.shape, attenuation_from_db(13.3)))


def _mcdannold(hounsfield: np.ndarray, densest: float) -> Bone:  # noqa: ARG001 - its table is absolute
    density = np.interp(hounsfield, _KPLAN_HU, _KPLAN_DENSITY)
    r = np.clip(density, 1000.0, 2200.0)  # the range of its fit
    slowness = 1.24e-3 - 7.63e-7 * r + 1.69e-10 * r**2 + 5.31e-16 * r**3 - 2.79e-18 * r**4
    loss = 5.71e3 - 9.02 * r + 5.40e-3 * r**2 - 1.41e-6 * r**3 + 1.36e-10 * r**4
    return Bone(1.0 / slowness, density, np.maximum(loss, 0.0) / 0.66)


MAPPINGS: Mapping[str, BoneMapping] = {
    "kplan": BoneMapping(
        "k-Plan's table of HU to density, c = 1.33 density + 167, 13.3 dB/cm at 1 MHz", _kplan
    ),
    "aubry2003": BoneMapping("Aubry et al., J. Acoust. Soc. Am. 113 (2003) 84, by porosity", _aubry),
    "marsac2017": BoneMapping(
        "Marsac et al., Int. J. Hyperthermia 33 (2017) 635, linear in HU; attenuation as aubry2003", _marsac
    ),
    "mcdannold2020": BoneMapping(
        "McDannold et al., J. Acoust. Soc. Am. 147 (2020) 2562, polynomials of density at 660 kHz; density as kplan",
        _mcdannold,
    ),
}


def bone_properties(hounsfield: np.ndarray, mapping: str, densest: float = DENSEST_BONE_HU) -> Bone:
    """Acoustic properties of bone.

    Args:
        hounsfield: Any shape [HU].
        mapping: One of `MAPPINGS`.
        densest: Of bone without pores, which depends on scanner and kernel [HU].

    Raises:
        ValueError: If there is no such mapping, or the densest bone is not above zero.
    """
    if mapping not in MAPPINGS:
        raise ValueError(f"there is no mapping {mapping!r} of bone; choose from {', '.join(MAPPINGS)}")
    if not densest > 0:
        raise ValueError(f"densest bone must lie above 0 HU, got {densest:g}")
    return MAPPINGS[mapping].convert(np.asarray(hounsfield, dtype=np.float64), densest)


def speeds_by_mapping(hounsfield: np.ndarray, densest: float = DENSEST_BONE_HU) -> dict[str, float]:
    """Mean sound speed that every mapping gives the same bone [m/s]: its spread is the choice's uncertainty."""
    return {name: float(bone_properties(hounsfield, name, densest).sound_speed.mean()) for name in MAPPINGS}
