"""A stochastic head in transverse section: scalp, three-layer skull, CSF, folded cortex, white matter, ventricles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from usct.errors import InputError
from usct.phantom import toml
from usct.phantom.fields import Lattice, smooth
from usct.phantom.lesions import place_lesions
from usct.phantom.rasterise import Anatomy, Properties, Samples, look_up
from usct.phantom.tissue import TissueTable
from usct.units import MILLIMETRE

# Raise it with every change that alters what a seed gives.
HEAD_VERSION = 1
TISSUES = (
    "water",
    "scalp",
    "cortical",
    "trabecular",
    "csf",
    "grey",
    "white",
    "haemorrhage",
    "ischaemia",
)
WATER, SCALP, CORTICAL, TRABECULAR, CSF, GREY, WHITE = range(7)
_STAGES = ("outline", "thickness", "folds", "ventricles", "lesions", "properties")
_LATTICE = Lattice(n=481, spacing=0.4 * MILLIMETRE)
# Outer table, diploe and inner table of the skull, as shares of its thickness.
_OUTER, _INNER = 1.5 / 6.5, 5.5 / 6.5


@dataclass(frozen=True)
class HeadRecipe:
    """The choices of a head recipe; phantoms/recipes/head.toml says what each means."""

    tissue_preset: str
    half_length_mm: float
    half_width_mm: float
    scalp_mm: tuple[float, ...]
    skull_mm: tuple[float, ...]
    csf_mm: tuple[float, ...]
    cortex_mm: float
    sulcus_depth_mm: float
    haemorrhages: int
    ischaemias: int
    lesion_diameter_mm: float
    lesion_diameter_spread: float

    @classmethod
    def of(cls, table: dict[str, Any], where: str) -> "HeadRecipe":
        """Read the table `head` of a recipe.

        Raises:
            InputError: If a key is unknown, missing or out of range.
        """
        recipe = toml.build(cls, table, where)
        for name in ("half_length_mm", "half_width_mm"):
            if not 40 <= getattr(recipe, name) <= 90:
                raise InputError(f"{where} has {name} {getattr(recipe, name):g}; choose 40 to 90")
        for name in ("scalp_mm", "skull_mm", "csf_mm"):
            limits = getattr(recipe, name)
            if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= 15:
                raise InputError(f"{where} has {name} {limits}; give the thinnest and the thickest, up to 15")
        return recipe


class Head(Anatomy):
    """Level maps on a fixed lattice, which fix the geometry for every grid; final.

    Attributes:
        depth: Distance inside the scalp's surface, shape (n, n) [m].
        lesions: Closed curves.
    """

    def __init__(
        self, recipe: HeadRecipe, table: TissueTable, seed: int, water_sound_speed: float | None = None
    ) -> None:
        seeds = np.random.SeedSequence([HEAD_VERSION, seed]).spawn(len(_STAGES))
        streams = {stage: np.random.default_rng(s) for stage, s in zip(_STAGES, seeds, strict=True)}
        self.depth = _outline(recipe, streams["outline"])
        scalp, skull, csf = (
            _thickness(limits, streams["thickness"])
            for limits in (recipe.scalp_mm, recipe.skull_mm, recipe.csf_mm)
        )
        self._bone = ((self.depth - scalp) / skull).astype(np.float32)
        self._brain = (self.depth - scalp - skull - csf).astype(np.float32)
        sulci = _sulci(recipe, self._brain, streams["folds"])
        # Cortex is what lies near the fluid outside and in the sulci; ventricles lie in white matter.
        away = distance_transform_edt((sulci < 0) & (self._brain > 0)) * _LATTICE.spacing
        ventricles, nuclei = _ventricles(recipe, streams["ventricles"])
        cortex = recipe.cortex_mm * MILLIMETRE - away
        self._grey = np.maximum(cortex, nuclei).astype(np.float32)
        self._fluid = np.maximum(sulci, ventricles).astype(np.float32)
        self.lesions = place_lesions(
            ["haemorrhage"] * recipe.haemorrhages + ["ischaemia"] * recipe.ischaemias,
            recipe.lesion_diameter_mm * MILLIMETRE,
            recipe.lesion_diameter_spread,
            (_LATTICE.axis, self._brain, (self._grey < 0) & (self._fluid < 0)),
            streams["lesions"],
        )
        kinds = [*TISSUES, *(lesion.kind for lesion in self.lesions)]
        self._tissue_of = np.array([TISSUES.index(kind) for kind in kinds], dtype=np.int16)
        tissues = [table.tissues[kind] for kind in kinds]
        rng = streams["properties"]
        self.properties = Properties(
            np.array([tissue.sound_speed.sample(rng) for tissue in tissues]),
            np.array([tissue.density.sample(rng) for tissue in tissues]),
            np.array([tissue.attenuation.sample(rng) for tissue in tissues]),
            attenuation_power=table.attenuation_power["head"],
            reference_frequency=table.reference_frequency,
        )
        if water_sound_speed is not None:
            self.properties.sound_speed[WATER] = water_sound_speed
        self.reach = float(
            np.abs(_LATTICE.axis[(self.depth > 0).any(axis=0) | (self.depth > 0).any(axis=1)]).max()
        )
        self.detail = 0.3 * MILLIMETRE

    def sample(self, y: np.ndarray, x: np.ndarray) -> Samples:
        """Labels and properties at the nodes of two axes."""
        down, across = _LATTICE.interpolation(y), _LATTICE.interpolation(x)

        def at(field: np.ndarray) -> np.ndarray:
            return (across @ (down @ field).T).T

        bone, brain = at(self._bone), at(self._brain)
        parts = np.where(at(self._grey) > 0, GREY, WHITE).astype(np.int16)
        parts[at(self._fluid) > 0] = CSF
        for number, lesion in enumerate(self.lesions):
            lesion.paint(parts, y, x, len(TISSUES) + number)
        parts[brain < 0] = CSF
        parts[bone < 1] = CORTICAL
        parts[(bone > _OUTER) & (bone < _INNER)] = TRABECULAR
        parts[bone < 0] = SCALP
        parts[at(self.depth) < 0] = WATER
        samples = look_up(self.properties, parts)
        return Samples(self._tissue_of[parts], samples.sound_speed, samples.density, samples.attenuation)


def _polar() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates y and x and the angle of every node of the lattice."""
    y, x = _LATTICE.axis[:, None], _LATTICE.axis[None, :]
    return y, x, np.arctan2(y, x)


def _outline(recipe: HeadRecipe, rng: np.random.Generator) -> np.ndarray:
    """Depth under a superellipse that is a little uneven, shape (n, n) [m]."""
    y, x, angle = _polar()
    length, width = recipe.half_length_mm * MILLIMETRE, recipe.half_width_mm * MILLIMETRE
    power = rng.uniform(2.1, 2.4)
    uneven = sum(rng.normal(0.0, 0.008) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (3, 4, 5))
    level = ((np.abs(y) / length) ** power + (np.abs(x) / width) ** power) ** (1 / power) - uneven
    gradient = np.hypot(*np.gradient(level, _LATTICE.spacing))
    return ((1.0 - level) / np.maximum(gradient, 1 / (2 * length))).astype(np.float32)


def _thickness(limits: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """A thickness that varies with the angle between two limits [mm], shape (n, n) [m]."""
    _, _, angle = _polar()
    wave = sum(rng.normal(0.0, 1.2 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(1, 9))
    return MILLIMETRE * (limits[0] + (limits[1] - limits[0]) / (1.0 + np.exp(-wave)))


def _sulci(recipe: HeadRecipe, brain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positive in the folds and in the fissure between the hemispheres, shape (n, n) [m]."""
    _, x, angle = _polar()
    bend = 4 * MILLIMETRE * _LATTICE.gaussian_field(rng, smooth(9 * MILLIMETRE))
    depth = recipe.sulcus_depth_mm * MILLIMETRE
    # Folds run inwards at uneven angles, bent, each as deep as a slow random field says.
    radius = 0.5 * (recipe.half_length_mm + recipe.half_width_mm) * MILLIMETRE
    n_folds = round(2 * np.pi * radius / (13 * MILLIMETRE))
    shift = sum(rng.normal(0.0, 0.8 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(1, 6))
    phase = n_folds * angle + shift + 2 * np.pi * bend / (13 * MILLIMETRE)
    # Distance to the nearest line where the phase is a multiple of 2 pi.
    apart = np.abs(np.mod(phase + np.pi, 2 * np.pi) - np.pi) / (2 * np.pi) * 13 * MILLIMETRE
    reach = depth * (0.75 + 0.3 * _LATTICE.gaussian_field(rng, smooth(12 * MILLIMETRE)))
    # Wide at the surface, closed at the bottom.
    folds = 0.9 * MILLIMETRE * (1.0 - brain / np.maximum(reach, 3 * MILLIMETRE)) - apart
    fissure = 0.7 * MILLIMETRE - np.abs(x + 0.15 * bend) - 0.05 * np.maximum(brain - 1.6 * depth, 0.0)
    return np.maximum(folds, fissure)


def _ventricles(recipe: HeadRecipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positive in the lateral ventricles, and in the deep grey nuclei beside them, each (n, n) [m]."""
    y, x, _ = _polar()
    scale = recipe.half_length_mm / 85.0 * MILLIMETRE
    size = rng.uniform(0.75, 1.25)
    ventricles = np.full((_LATTICE.n, _LATTICE.n), -1.0)
    nuclei = ventricles.copy()
    for side in (-1, 1):
        across = side * x
        for middle, length, tilt in ((-18.0, 15.0, 0.30), (24.0, 17.0, -0.35)):
            along = y - middle * scale
            # Horns lean away from the middle, fore and aft.
            bow = across - (8.0 + rng.uniform(-0.8, 0.8)) * scale + tilt * along
            level = 1.0 - np.hypot(along / (length * scale), bow / (3.8 * size * scale))
            ventricles = np.maximum(ventricles, level * 3.8 * size * scale)
        for middle, offset, length, width in ((-10.0, 22.0, 11.0, 5.0), (10.0, 12.0, 9.0, 7.0)):
            level = 1.0 - np.hypot(
                (y - middle * scale) / (length * scale), (across - offset * scale) / (width * scale)
            )
            nuclei = np.maximum(nuclei, level * width * scale)
    return ventricles, nuclei
