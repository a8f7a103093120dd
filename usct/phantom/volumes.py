"""Stochastic breasts and heads in three dimensions: the tissues of the slices' recipes, as volumes of labels.

Level maps on a fixed lattice of 1 mm fix the geometry for every spacing. A breast hangs from the chest wall at z = 0,
where it goes on, to the nipple; a head is whole. Cells are of one tissue, without partial volumes, so that structures
finer than the lattice (ligaments, sulci, the tables of the skull) are coarse. Properties are drawn once for each tissue
from the recipe's preset, without texture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from usct.phantom.breast import BreastRecipe
from usct.phantom.fields import fractal, smooth
from usct.phantom.head import HeadRecipe
from usct.units import MILLIMETRE

VOLUME_VERSION = 1
_STEP = 1.0 * MILLIMETRE
_MARGIN = 12 * MILLIMETRE
# Outer table, diploe and inner table of the skull, as shares of its thickness.
_OUTER, _INNER = 1.5 / 6.5, 5.5 / 6.5


@dataclass(frozen=True)
class Box:
    """The lattice of a volume, (z, y, x).

    Attributes:
        low: Coordinates of the first node [m].
        shape: Number of nodes.
    """

    low: tuple[float, float, float]
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low: tuple[float, ...], high: tuple[float, ...]) -> "Box":
        """The lattice that covers a range of coordinates [m]."""
        nz, ny, nx = (round((b - a) / _STEP) + 1 for a, b in zip(low, high, strict=True))
        return cls((low[0], low[1], low[2]), (nz, ny, nx))

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates z, y and x, ready to broadcast [m]."""
        z, y, x = (a + _STEP * np.arange(n) for a, n in zip(self.low, self.shape, strict=True))
        return z[:, None, None], y[None, :, None], x[None, None, :]

    def field(self, rng: np.random.Generator, amplitude: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Gaussian random field of zero mean and unit variance; see `Lattice.gaussian_field`."""
        nz, ny, nx = self.shape
        frequency = np.sqrt(
            scipy.fft.fftfreq(nz, _STEP)[:, None, None] ** 2
            + scipy.fft.fftfreq(ny, _STEP)[:, None] ** 2
            + scipy.fft.rfftfreq(nx, _STEP) ** 2
        )
        gain = np.zeros_like(frequency)
        gain[frequency > 0] = amplitude(frequency[frequency > 0])
        noise = scipy.fft.rfftn(rng.standard_normal(self.shape, dtype=np.float32))
        values: np.ndarray = scipy.fft.irfftn(noise * gain.astype(np.float32), s=self.shape)
        return values / values.std()

    def at(self, values: np.ndarray, spacing: float, half_width: float) -> np.ndarray:
        """Values at the nodes of the phantom's grid, linear between those of the lattice, the nearest beyond."""
        high = self.low[0] + _STEP * (self.shape[0] - 1)
        z = np.arange(self.low[0], high + 0.5 * spacing, spacing)
        across = np.arange(-half_width, half_width + 0.5 * spacing, spacing)
        where = np.meshgrid(
            *((axis - low) / _STEP for axis, low in zip((z, across, across), self.low, strict=True)),
            indexing="ij",
        )
        out: np.ndarray = map_coordinates(values.astype(np.float32), where, order=1, mode="nearest")
        return out


def breast_levels(recipe: BreastRecipe, seed: int) -> tuple[Box, dict[str, np.ndarray]]:
    """Level maps of a breast: what is positive becomes the tissue of its name, later names over earlier ones."""
    streams = np.random.SeedSequence([VOLUME_VERSION, 3, seed]).spawn(5)
    shape_rng, gland_rng, cell_rng, bend_rng, lesion_rng = map(np.random.default_rng, streams)
    radius, depth = recipe.radius_mm * MILLIMETRE, 0.95 * recipe.radius_mm * MILLIMETRE
    reach = 1.13 * radius + _MARGIN
    box = Box.around((0.0, -reach, -reach), (depth + _MARGIN, reach, reach))
    z, y, x = box.axes()
    angle = np.arctan2(y, x)
    bulge = sum(
        shape_rng.normal(0, 2 * recipe.outline_roughness / k**2)
        * np.cos(k * angle + shape_rng.uniform(0, 2 * np.pi))
        for k in range(2, 6)
    )
    level = np.sqrt((np.hypot(y, x) / (1 + np.clip(bulge, -0.12, 0.12)) / radius) ** 2 + (z / depth) ** 2)
    # Under the surface, but not at the chest wall, where the tissue goes on.
    inside = _depth(level < 1, open_below=True)
    thin, thick = (MILLIMETRE * v for v in recipe.skin_mm)
    skin = inside - (thin + (thick - thin) / (1 + np.exp(-box.field(shape_rng, smooth(25 * MILLIMETRE)))))
    walls = _walls(box, inside > 0, recipe, (cell_rng, bend_rng))
    middle = gland_rng.normal(0, 0.12 * radius, 2)
    distance = np.sqrt((y - middle[0]) ** 2 + (x - middle[1]) ** 2 + (z - 0.3 * depth) ** 2)
    field = box.field(gland_rng, fractal(4.0, 0.6 * radius, 3 * MILLIMETRE))
    strands = np.exp(-((walls / (1.8 * MILLIMETRE)) ** 2))
    gland = (
        field
        + 0.7 * strands
        - 2 * (distance / radius) ** 2
        - 4 * np.exp(-np.maximum(skin, 0) / (0.06 * radius))
    )
    gland = gland - np.quantile(gland[skin > 0], recipe.fat_fraction)
    kinds = (
        ["cyst"] * recipe.cysts
        + ["fibroadenoma"] * recipe.fibroadenomas
        + ["malignant"] * recipe.malignancies
    )
    levels = {
        "fat": inside,
        # Walls thinner than the lattice keep their share of the volume.
        "ligament": np.where(inside > 0, 0.5 * recipe.ligament_thickness_mm * MILLIMETRE - walls, -_STEP),
        "gland": np.where(inside > 0, gland, -1.0),
        **_lesions(box, kinds, recipe, (skin, gland > 0), lesion_rng),
        "skin": np.minimum(inside, -skin),
    }
    return box, levels


def head_levels(recipe: HeadRecipe, seed: int) -> tuple[Box, dict[str, np.ndarray]]:
    """Level maps of a head; see `breast_levels`."""
    streams = np.random.SeedSequence([VOLUME_VERSION, 4, seed]).spawn(4)
    shape_rng, thick_rng, fold_rng, lesion_rng = map(np.random.default_rng, streams)
    length, width = recipe.half_length_mm * MILLIMETRE, recipe.half_width_mm * MILLIMETRE
    high = tuple(a + _MARGIN for a in (width, length, width))
    box = Box.around(tuple(-h for h in high), high)
    z, y, x = box.axes()
    power = shape_rng.uniform(2.1, 2.4)
    level = (np.abs(z / width) ** power + np.abs(y / length) ** power + np.abs(x / width) ** power) ** (
        1 / power
    )
    inside = _depth(level - 0.01 * box.field(shape_rng, smooth(40 * MILLIMETRE)) < 1, open_below=False)
    scalp, skull, csf = (
        MILLIMETRE * (low + (top - low) / (1 + np.exp(-1.5 * box.field(thick_rng, smooth(15 * MILLIMETRE)))))
        for low, top in (recipe.scalp_mm, recipe.skull_mm, recipe.csf_mm)
    )
    bone = (inside - scalp) / skull
    brain = inside - scalp - skull - csf
    # Where a smooth random field is zero there are bent sheets: the sulci, which end at a depth that varies.
    sheets = np.abs(box.field(fold_rng, smooth(7 * MILLIMETRE))) * 7 * MILLIMETRE
    ends = recipe.sulcus_depth_mm * MILLIMETRE * (0.75 + 0.3 * box.field(fold_rng, smooth(12 * MILLIMETRE)))
    sulci = 0.9 * MILLIMETRE * (1 - brain / np.maximum(ends, 3 * MILLIMETRE)) - sheets
    fissure = 0.8 * MILLIMETRE - np.abs(x) - 0.05 * np.maximum(brain - 1.6 * ends, 0)
    fluid = np.maximum(sulci, np.broadcast_to(fissure, sulci.shape))
    away = distance_transform_edt((fluid < 0) & (brain > 0)) * _STEP
    for side in (-1, 1):
        horn = np.sqrt(((side * x - 9e-3) / 4e-3) ** 2 + (y / 24e-3) ** 2 + (z / 9e-3) ** 2)
        fluid = np.maximum(fluid, (1 - horn) * 4e-3)
    kinds = ["haemorrhage"] * recipe.haemorrhages + ["ischaemia"] * recipe.ischaemias
    grey = recipe.cortex_mm * MILLIMETRE - away
    levels = {
        "scalp": inside,
        "cortical": np.minimum(bone, 1.0) * skull,
        "trabecular": np.minimum(bone - _OUTER, _INNER - bone) * skull,
        "csf": (bone - 1) * skull,
        "white": brain,
        "grey": np.minimum(grey, brain),
        "csf ": np.minimum(fluid, brain),
        **_lesions(box, kinds, recipe, (brain, grey < 0), lesion_rng),
    }
    return box, levels


def paint(
    box: Box, levels: dict[str, np.ndarray], spacing: float, half_width: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels on the phantom's grid.

    Args:
        box: Lattice of the level maps.
        levels: Name of a tissue, with blanks or a number behind it where there are several, to its level map.
        spacing: Of the grid [m].
        half_width: How far it reaches across [m].

    Returns:
        Labels, shape (z, y, x), and the tissue of each; 0 is water.
    """
    tissues = ["water"]
    labels = np.zeros((1, 1, 1), dtype=np.int16)
    for name, level in levels.items():
        positive = box.at(level, spacing, half_width) > 0
        if labels.shape != positive.shape:
            labels = np.zeros(positive.shape, dtype=np.int16)
        tissue = name.rstrip(" 0123456789")
        if tissue not in tissues:
            tissues.append(tissue)
        labels[positive] = tissues.index(tissue)
    return labels, tuple(tissues)


def _depth(inside: np.ndarray, open_below: bool) -> np.ndarray:
    """Distance to the surface, positive inside [m]; a body that is open below has none there."""
    below = ((40, 0), (0, 0), (0, 0)) if open_below else ((0, 0),) * 3
    padded = np.pad(inside, below, mode="edge")
    signed = distance_transform_edt(padded) - distance_transform_edt(~padded)
    signed -= 0.5 * np.sign(signed)
    return (signed[below[0][0] :] * _STEP).astype(np.float32)


def _walls(
    box: Box, region: np.ndarray, recipe: BreastRecipe, rngs: tuple[np.random.Generator, np.random.Generator]
) -> np.ndarray:
    """Distance to the nearest wall of a bent Voronoi diagram [m]; see `ligament_distance`."""
    cells, bending = rngs
    size, bend = recipe.ligament_spacing_mm * MILLIMETRE, recipe.ligament_bend_mm * MILLIMETRE
    counts = [int(np.ceil(n * _STEP / size)) + 2 for n in box.shape]
    corners = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 3)
    centres = (corners - 1 + cells.uniform(0, 1, corners.shape)) * size + np.array(box.low)
    index = np.nonzero(region)
    points = np.stack(
        [
            low + _STEP * i + bend * box.field(bending, smooth(1.2 * size))[region]
            for low, i in zip(box.low, index, strict=True)
        ],
        axis=1,
    )
    distances, nearest = cKDTree(centres).query(points, k=2)
    apart = np.linalg.norm(centres[nearest[:, 0]] - centres[nearest[:, 1]], axis=1)
    walls = np.full(region.shape, size, dtype=np.float32)
    walls[region] = (distances[:, 1] ** 2 - distances[:, 0] ** 2) / (2 * apart)
    return walls


def _lesions(
    box: Box,
    kinds: list[str],
    recipe: BreastRecipe | HeadRecipe,
    maps: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Uneven ellipsoids deep enough under a surface, apart from each other, eight times likelier where preferred."""
    room, preferred = maps[0].copy(), maps[1]
    z, y, x = box.axes()
    found = {}
    for number, kind in enumerate(kinds):
        spread = recipe.lesion_diameter_spread * np.clip(rng.standard_normal(), -2, 2)
        radius = 0.5 * recipe.lesion_diameter_mm * MILLIMETRE * np.exp(spread)
        weight = np.where(preferred, 8.0, 1.0) * (room > 1.6 * radius + 3e-3)
        choice, axes = rng.random(), np.ones(3) if kind == "cyst" else rng.uniform(0.8, 1.25, 3)
        uneven = 0.0 if kind in ("cyst", "fibroadenoma") else 0.25 * box.field(rng, smooth(0.4 * radius))
        if not weight.any():
            continue
        total = np.cumsum(weight)
        place = int(np.searchsorted(total, choice * total[-1], side="right"))
        c = [low + _STEP * i for low, i in zip(box.low, np.unravel_index(place, box.shape), strict=True)]
        axes = axes / axes.prod() ** (1 / 3)
        level = np.sqrt(sum(((a - m) / s) ** 2 for a, m, s in zip((z, y, x), c, axes, strict=True)))
        found[f"{kind} {number}"] = radius * (1 + uneven) - level
        room = np.minimum(room, level - 1.6 * radius)
    return found
