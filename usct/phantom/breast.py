"""A stochastic breast in coronal section: one seed, one random stream for each stage of its making."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from usct.errors import InputError
from usct.phantom import toml
from usct.phantom.fields import Lattice, fractal, smooth
from usct.phantom.lesions import place_lesions
from usct.phantom.ligaments import ligament_distance
from usct.phantom.rasterise import Anatomy, Properties, Samples, look_up
from usct.phantom.tissue import Draw, TissueTable
from usct.units import MILLIMETRE

# Raise it with every change that alters what a seed gives.
GENERATOR_VERSION = 1
CLASSES = ("fatty", "scattered", "heterogeneous", "dense")
TISSUES = ("water", "skin", "fat", "gland", "ligament", "cyst", "fibroadenoma", "malignant")
WATER, SKIN, FAT, GLAND, LIGAMENT = range(5)
_STAGES = ("outline", "gland", "ligaments", "bend", "lesions", "properties", "texture")
_LATTICE = Lattice(n=405, spacing=0.4 * MILLIMETRE)
# Texture is cut off at this many standard deviations: in fat, as published, and in gland.
_TEXTURE_LIMITS = ((FAT, 0.9), (GLAND, 2.0))


@dataclass(frozen=True)
class BreastRecipe:
    """The choices of a breast recipe; phantoms/recipes/breast.toml says what each means."""

    density_class: str
    tissue_preset: str
    radius_mm: float
    outline_roughness: float
    skin_mm: tuple[float, ...]
    fat_fraction: float
    ligament_spacing_mm: float
    ligament_thickness_mm: float
    ligament_bend_mm: float
    texture: float
    texture_length_mm: float
    cysts: int
    fibroadenomas: int
    malignancies: int
    lesion_diameter_mm: float
    lesion_diameter_spread: float

    @classmethod
    def of(cls, table: dict[str, Any], where: str) -> "BreastRecipe":
        """Read the table `breast` of a recipe.

        Raises:
            InputError: If a key is unknown, missing or out of range.
        """
        recipe = toml.build(cls, table, where)
        if recipe.density_class not in CLASSES:
            raise InputError(f"{where} has density_class {recipe.density_class!r}; use {', '.join(CLASSES)}")
        if not 20 <= recipe.radius_mm <= 70:
            raise InputError(f"{where} has radius_mm {recipe.radius_mm:g}; choose 20 to 70")
        if not 0 < recipe.fat_fraction < 1:
            raise InputError(f"{where} has fat_fraction {recipe.fat_fraction:g}; choose between 0 and 1")
        if len(recipe.skin_mm) != 2 or not 0 < recipe.skin_mm[0] <= recipe.skin_mm[1]:
            raise InputError(f"{where} has skin_mm {recipe.skin_mm}; give the thinnest and the thickest")
        return recipe


class Breast(Anatomy):
    """Level maps on a fixed lattice, which fix the geometry for every grid; final.

    Attributes:
        depth: Distance inside the outline, shape (n, n) [m].
        skin: Distance inside the inner surface of the skin, shape (n, n) [m].
        gland: Positive where the tissue is fibroglandular, shape (n, n).
        ligament: Positive within Cooper's ligaments, shape (n, n) [m].
        lesions: Closed curves.
    """

    def __init__(
        self, recipe: BreastRecipe, table: TissueTable, seed: int, water_sound_speed: float | None = None
    ) -> None:
        entropy = [GENERATOR_VERSION, seed, CLASSES.index(recipe.density_class)]
        seeds = np.random.SeedSequence(entropy).spawn(len(_STAGES))
        streams = {stage: np.random.default_rng(s) for stage, s in zip(_STAGES, seeds, strict=True)}
        self.depth, self.skin = _outline(recipe, streams["outline"])
        distance = ligament_distance(
            _LATTICE,
            self.skin > -MILLIMETRE,
            recipe.ligament_spacing_mm * MILLIMETRE,
            recipe.ligament_bend_mm * MILLIMETRE,
            (streams["ligaments"], streams["bend"]),
        )
        self.gland = _gland(recipe, self.skin, distance, streams["gland"])
        self.ligament = 0.5 * recipe.ligament_thickness_mm * MILLIMETRE - distance
        self.lesions = place_lesions(
            ["cyst"] * recipe.cysts
            + ["fibroadenoma"] * recipe.fibroadenomas
            + ["malignant"] * recipe.malignancies,
            recipe.lesion_diameter_mm * MILLIMETRE,
            recipe.lesion_diameter_spread,
            (_LATTICE.axis, self.skin, self.gland > 0),
            streams["lesions"],
        )
        kinds = [*TISSUES, *(lesion.kind for lesion in self.lesions)]
        self._tissue_of = np.array([TISSUES.index(kind) for kind in kinds], dtype=np.int16)
        self.properties = _properties(kinds, table, recipe.density_class, streams["properties"])
        if water_sound_speed is not None:
            self.properties.sound_speed[WATER] = water_sound_speed
        grain = smooth(recipe.texture_length_mm * MILLIMETRE)
        self._texture = recipe.texture
        self._textures = [_LATTICE.gaussian_field(streams["texture"], grain) for _ in range(2)]
        self._bounds = {name: table.tissues[name] for name in ("fat", "gland")}
        self.reach = float(
            np.abs(_LATTICE.axis[(self.depth > 0).any(axis=0) | (self.depth > 0).any(axis=1)]).max()
        )
        self.detail = 0.2 * MILLIMETRE

    def sample(self, y: np.ndarray, x: np.ndarray) -> Samples:
        """Labels and properties at the nodes of two axes."""
        down, across = _LATTICE.interpolation(y), _LATTICE.interpolation(x)

        def at(field: np.ndarray) -> np.ndarray:
            return (across @ (down @ field).T).T

        gland, wall = at(self.gland) > 0, at(self.ligament) > 0
        parts = np.where(gland, GLAND, np.where(wall, LIGAMENT, FAT)).astype(np.int16)
        for number, lesion in enumerate(self.lesions):
            lesion.paint(parts, y, x, len(TISSUES) + number)
        parts[at(self.skin) < 0] = SKIN
        parts[at(self.depth) < 0] = WATER
        samples = look_up(self.properties, parts)
        self._add_texture(samples.sound_speed, at(self._textures[0]), parts, "sound_speed")
        self._add_texture(samples.density, at(self._textures[1]), parts, "density")
        return replace(samples, labels=self._tissue_of[parts])

    def _add_texture(self, values: np.ndarray, texture: np.ndarray, parts: np.ndarray, name: str) -> None:
        """Vary a property within fat and gland, in place, never beyond the table's bounds."""
        for part, limit in _TEXTURE_LIMITS:
            cells = parts == part
            draw: Draw = getattr(self._bounds[TISSUES[part]], name)
            varied = values[cells] * (1.0 + self._texture * np.clip(texture[cells], -limit, limit))
            values[cells] = np.clip(varied, draw.low, draw.high)


def _outline(recipe: BreastRecipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Depth under the outline and under the skin, each of shape (n, n) [m]."""
    y, x = _LATTICE.axis[:, None], _LATTICE.axis[None, :]
    angle = np.arctan2(y, x)
    bulge, slope, thickness = np.zeros_like(angle), np.zeros_like(angle), np.zeros_like(angle)
    for order in range(2, 6):
        size, phase = rng.normal(0.0, 2 * recipe.outline_roughness / order**2), rng.uniform(0, 2 * np.pi)
        bulge += size * np.cos(order * angle + phase)
        slope -= order * size * np.sin(order * angle + phase)
        thickness += rng.normal(0.0, 0.5) * np.cos((order - 1) * angle + rng.uniform(0, 2 * np.pi))
    bulge = np.clip(bulge, -0.12, 0.12)
    radius = recipe.radius_mm * MILLIMETRE * (1.0 + bulge)
    # The step along a ray, shortened where the outline is oblique to it, is nearly the distance.
    depth = (radius - np.hypot(y, x)) / np.sqrt(1.0 + (slope / (1.0 + bulge)) ** 2)
    thin, thick = (MILLIMETRE * value for value in recipe.skin_mm)
    skin = depth - (thin + (thick - thin) / (1.0 + np.exp(-2.0 * thickness)))
    return depth.astype(np.float32), skin.astype(np.float32)


def _gland(
    recipe: BreastRecipe, skin: np.ndarray, wall_distance: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Level map, shape (n, n): positive on the share of the area under the skin that is gland."""
    radius = recipe.radius_mm * MILLIMETRE
    field = _LATTICE.gaussian_field(rng, fractal(3.0, 0.6 * radius, 3.0 * MILLIMETRE))
    offset = rng.normal(0.0, 0.12 * radius, 2)
    distance = np.hypot(_LATTICE.axis[:, None] - offset[0], _LATTICE.axis - offset[1])
    # Gland gathers in the middle and along the ligaments, and a layer of fat lies under the skin.
    strands = np.exp(-((wall_distance / (1.8 * MILLIMETRE)) ** 2))
    level = field + 0.7 * strands - 2.0 * (distance / radius) ** 2 - 4.0 * np.exp(-skin / (0.06 * radius))
    return (level - np.quantile(level[skin > 0], recipe.fat_fraction)).astype(np.float32)


def _properties(
    kinds: list[str], table: TissueTable, density_class: str, rng: np.random.Generator
) -> Properties:
    """Properties of every tissue and of every single lesion, each drawn once."""
    tissues = [table.tissues[kind] for kind in kinds]
    return Properties(
        np.array([tissue.sound_speed.sample(rng) for tissue in tissues]),
        np.array([tissue.density.sample(rng) for tissue in tissues]),
        np.array([tissue.attenuation.sample(rng) for tissue in tissues]),
        attenuation_power=table.attenuation_power[density_class],
        reference_frequency=table.reference_frequency,
    )
