"""Geometric targets: disks, pairs, stars and arrays of disks of given materials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from usct.errors import InputError
from usct.phantom import toml
from usct.phantom.rasterise import Anatomy, Properties, Samples, look_up
from usct.units import ATTENUATION_REFERENCE_FREQUENCY, MILLIMETRE


@dataclass(frozen=True)
class Material:
    """A uniform material.

    Attributes:
        sound_speed: [m/s].
        density: [kg/m^3].
        attenuation: At 1 MHz [Np/m].
    """

    sound_speed: float
    density: float = 1000.0
    attenuation: float = 0.0


@dataclass(frozen=True)
class Shape:
    """One entry of a recipe's list of shapes; later shapes lie over earlier ones.

    Attributes:
        kind: "disk", "pair" (two disks beside each other, their gap equal to their diameter), "star"
            (wedges and gaps of equal angle), or "disk_array" (a row for each difference of sound speed, a
            column for each diameter).
        material: Name of the material; for an array, of the one that the differences are taken from.
        centre_mm: Middle, (y, x).
        diameter_mm: Of the disk, of each disk of a pair, or of the star.
        wedges: Number of wedges of a star.
        diameters_mm: Columns of an array.
        differences: Rows of an array [m/s].
        gap_mm: Least distance between disks of an array.
    """

    kind: str
    material: str
    centre_mm: tuple[float, ...]
    diameter_mm: float = 0.0
    wedges: int = 0
    diameters_mm: tuple[float, ...] = ()
    differences: tuple[float, ...] = ()
    gap_mm: float = 0.0


@dataclass(frozen=True)
class Sector:
    """A disk, or the wedges of a star, of one label.

    Attributes:
        label: Index of its material.
        centre: (y, x) [m].
        radius: [m].
        wedges: Number of wedges, 0 for a full disk.
    """

    label: int
    centre: tuple[float, float]
    radius: float
    wedges: int = 0

    def paint(self, labels: np.ndarray, y: np.ndarray, x: np.ndarray) -> None:
        """Write the label into a map of shape (ny, nx) at axes [m]."""
        window = tuple(
            slice(*np.searchsorted(axis, [middle - self.radius, middle + self.radius + 1e-12]))
            for axis, middle in zip((y, x), self.centre, strict=True)
        )
        dy, dx = y[window[0], None] - self.centre[0], x[None, window[1]] - self.centre[1]
        inside = dy**2 + dx**2 <= self.radius**2
        if self.wedges:
            inside &= np.mod(np.arctan2(dy, dx) * self.wedges / (2 * math.pi), 1.0) < 0.5
        labels[window][inside] = self.label


class Geometric(Anatomy):
    """Sectors painted one over the other; final."""

    def __init__(self, properties: Properties, sectors: Sequence[Sector]) -> None:
        self.properties = properties
        self.sectors = tuple(sectors)
        self.reach = max((max(map(abs, s.centre)) + s.radius for s in sectors), default=0.0)
        self.detail = 0.08 * MILLIMETRE

    def sample(self, y: np.ndarray, x: np.ndarray) -> Samples:
        """Labels and properties at the nodes of two axes."""
        labels = np.zeros((len(y), len(x)), dtype=np.int16)
        for sector in self.sectors:
            sector.paint(labels, y, x)
        return look_up(self.properties, labels)


def build_geometric(
    recipe: dict[str, Any], water_sound_speed: float | None, where: str
) -> tuple[Geometric, tuple[str, ...]]:
    """Turn a recipe's tables `water`, `materials` and `shapes` into an anatomy.

    Args:
        recipe: Contents of the recipe.
        water_sound_speed: Sound speed of the water; None for the recipe's [m/s].
        where: What to call the recipe in an error.

    Returns:
        The anatomy, and the name of each label.

    Raises:
        InputError: If a table is malformed or a shape names an unknown material.
    """
    tables = {"water": recipe.get("water", {}), **recipe.get("materials", {})}
    materials = {name: toml.build(Material, table, f"{name} in {where}") for name, table in tables.items()}
    if water_sound_speed is not None:
        water = materials["water"]
        materials["water"] = Material(water_sound_speed, water.density, water.attenuation)
    sectors: list[Sector] = []
    for number, table in enumerate(recipe.get("shapes", []), start=1):
        shape = toml.build(Shape, table, f"shape {number} in {where}")
        if shape.material not in materials or len(shape.centre_mm) != 2:
            raise InputError(
                f"shape {number} in {where} needs a centre (y, x) and one of the materials "
                f"{', '.join(materials)}, got {shape.centre_mm} and {shape.material!r}"
            )
        sectors += _sectors(shape, materials, f"shape {number} in {where}")
    properties = Properties(
        np.array([material.sound_speed for material in materials.values()]),
        np.array([material.density for material in materials.values()]),
        np.array([material.attenuation for material in materials.values()]),
        attenuation_power=1.0,
        reference_frequency=ATTENUATION_REFERENCE_FREQUENCY,
    )
    return Geometric(properties, sectors), tuple(materials)


def _sectors(shape: Shape, materials: dict[str, Material], where: str) -> list[Sector]:
    """The sectors of a shape; an array adds a material for each of its rows."""
    label = list(materials).index(shape.material)
    y, x = (MILLIMETRE * value for value in shape.centre_mm)
    diameter = MILLIMETRE * shape.diameter_mm
    if shape.kind == "disk_array" and shape.diameters_mm and shape.differences:
        return _disk_array(shape, materials)
    if shape.kind in ("disk", "pair", "star") and diameter > 0:
        offsets = (-diameter, diameter) if shape.kind == "pair" else (0.0,)
        if shape.kind == "star" and shape.wedges < 1:
            raise InputError(f"{where} is a star of {shape.wedges} wedges; give at least 1")
        wedges = shape.wedges if shape.kind == "star" else 0
        return [Sector(label, (y, x + offset), diameter / 2, wedges) for offset in offsets]
    raise InputError(
        f"{where} has kind {shape.kind!r} and diameter {shape.diameter_mm:g} mm; use disk, pair or star with "
        "diameter_mm > 0, or disk_array with diameters_mm and differences"
    )


def _disk_array(shape: Shape, materials: dict[str, Material]) -> list[Sector]:
    """A row for each difference, a column for each diameter; adds the materials of the rows."""
    base = materials[shape.material]
    diameters = MILLIMETRE * np.array(shape.diameters_mm)
    gap = MILLIMETRE * shape.gap_mm
    pitch = diameters.max() + gap
    right_edges = np.cumsum(diameters + gap) - gap
    columns = right_edges - diameters / 2 - right_edges[-1] / 2 + MILLIMETRE * shape.centre_mm[1]
    sectors = []
    for row, difference in enumerate(shape.differences):
        name = f"{shape.material} {difference:+g} m/s"
        materials[name] = Material(base.sound_speed + difference, base.density, base.attenuation)
        label = list(materials).index(name)
        y = MILLIMETRE * shape.centre_mm[0] + (row - (len(shape.differences) - 1) / 2) * pitch
        sectors += [Sector(label, (y, float(x)), d / 2) for x, d in zip(columns, diameters, strict=True)]
    return sectors
