"""Phantoms by name: recipes found, read and rasterised."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from usct import overrides
from usct.errors import InputError
from usct.grid import Grid
from usct.phantom import toml, volumes
from usct.phantom.base import Phantom
from usct.phantom.breast import GENERATOR_VERSION, TISSUES, Breast, BreastRecipe
from usct.phantom.geometric import build_geometric
from usct.phantom.head import HEAD_VERSION, Head, HeadRecipe
from usct.phantom.head import TISSUES as HEAD_TISSUES
from usct.phantom.label_maps import phantom_from_labels
from usct.phantom.rasterise import Anatomy, rasterise
from usct.phantom.tissue import load_tissues
from usct.units import MILLIMETRE

_KEYS = ("title", "kind", "extends", "half_width_mm", "water", "materials", "shapes", "breast", "head")


def names() -> tuple[str, ...]:
    """Names of the recipes that come with usct, sorted."""
    return tuple(sorted(path.stem for path in (toml.folder() / "recipes").glob("*.toml")))


def make(
    name: str,
    seed: int = 0,
    spacing: float = 0.4e-3,
    half_width: float | None = None,
    tissue_preset: str = "",
    water_sound_speed: float | None = None,
) -> Phantom:
    """Make a phantom from a recipe.

    Geometry and texture are continuous functions that do not depend on the grid: the same name and seed
    give the same object at every spacing and extent, each cell holding the mean over its area.

    Args:
        name: One of `names()`, or the path of a recipe that ends in ".toml".
        seed: Not negative; which of the recipe's objects to make. Geometric targets have only one.
        spacing: Grid spacing [m].
        half_width: The centred square grid reaches this far each way; None for the recipe's choice [m].
        tissue_preset: Preset of the tissue table; empty for the recipe's choice.
        water_sound_speed: Sound speed of the surrounding water; None for the recipe's or the preset's,
            which is 1520.6 m/s at 37 degrees Celsius in "park2023" and 1500 m/s in "li2022" [m/s].

    Returns:
        The phantom; its provenance holds recipe, seed, preset, generator version and checksums.

    Raises:
        InputError: If a name is unknown, a recipe is malformed, or a number is out of range.
    """
    path = _recipe_path(name)
    recipe = _read_recipe(path)
    if seed < 0:
        raise InputError(f"the seed of phantom {name} must not be negative, got {seed}")
    half_width = float(recipe["half_width_mm"]) * MILLIMETRE if half_width is None else half_width
    if not (0.0 < spacing <= 5e-3 and spacing < half_width <= 1.0):
        raise InputError(
            f"phantom {name} needs a spacing of at most 5 mm and a half width of at most 1 m, "
            f"got {spacing / MILLIMETRE:g} mm and {half_width / MILLIMETRE:g} mm"
        )
    if water_sound_speed is not None and not 1000.0 < water_sound_speed < 2000.0:
        raise InputError(f"the water of phantom {name} must have 1000 to 2000 m/s, got {water_sound_speed:g}")
    anatomy, tissues, preset = _anatomy(recipe, seed, tissue_preset, water_sound_speed, str(path))
    labels, medium = rasterise(anatomy, Grid.covering(half_width, spacing))
    provenance = {
        "recipe": path.stem,
        "seed": str(seed),
        "tissue_preset": preset,
        "generator_version": str(HEAD_VERSION if recipe["kind"] == "head" else GENERATOR_VERSION),
        "labels_sha256": _checksum(labels),
        "sound_speed_sha256": _checksum(medium.sound_speed),
    }
    return Phantom(medium, labels, tissues, recipe["title"], provenance)


def make_volume(
    name: str, seed: int = 0, spacing: float = 1e-3, half_width: float | None = None, tissue_preset: str = ""
) -> Phantom:
    """Make a breast or a head in three dimensions, of the tissues that the recipe of its slice names.

    Args:
        name: A recipe of a breast or a head, or the path of one.
        seed: Not negative; geometry depends on it and not on the spacing.
        spacing: Grid spacing [m].
        half_width: The grid reaches this far across; None for the recipe's choice [m].
        tissue_preset: Preset of the tissue table; empty for the recipe's choice.

    Returns:
        The phantom on (z, y, x). A breast's first plane is at the chest wall.

    Raises:
        InputError: If the recipe is not one of these, or a number is out of range.
    """
    path = _recipe_path(name)
    recipe = _read_recipe(path)
    half_width = float(recipe["half_width_mm"]) * MILLIMETRE if half_width is None else half_width
    if seed < 0 or not 2e-4 <= spacing <= 5e-3 or not 0.05 <= half_width <= 0.5:
        raise InputError(
            f"volume {name} needs a seed of 0 or more, a spacing of 0.2 to 5 mm and a half width of 50 to 500 mm, got "
            f"{seed}, {spacing / MILLIMETRE:g} mm and {half_width / MILLIMETRE:g} mm"
        )
    if recipe["kind"] == "breast":
        breast = BreastRecipe.of(recipe.get("breast", {}), f"breast in {path}")
        box, levels = volumes.breast_levels(breast, seed)
        preset, power = tissue_preset or breast.tissue_preset, breast.density_class
    elif recipe["kind"] == "head":
        head = HeadRecipe.of(recipe.get("head", {}), f"head in {path}")
        box, levels = volumes.head_levels(head, seed)
        preset, power = tissue_preset or head.tissue_preset, "head"
    else:
        raise InputError(f"{path} is a {recipe['kind']} phantom; volumes are made of breasts and heads")
    labels, tissues = volumes.paint(box, levels, spacing, half_width)
    title = recipe["title"].replace("coronal slice", "volume").replace("transverse slice", "volume")
    made = phantom_from_labels(labels, spacing, dict(enumerate(tissues)), preset, power, seed, title)
    facts = {
        "recipe": path.stem,
        "generator_version": f"volume {volumes.VOLUME_VERSION}",
        "labels_sha256": _checksum(made.labels),
        "sound_speed_sha256": _checksum(made.medium.sound_speed),
    }
    return replace(made, provenance=made.provenance | facts)


def _anatomy(
    recipe: dict[str, Any], seed: int, preset: str, water_sound_speed: float | None, where: str
) -> tuple[Anatomy, tuple[str, ...], str]:
    """The anatomy of a recipe, the names of its labels and the tissue preset used."""
    if recipe["kind"] == "geometric":
        anatomy, tissues = build_geometric(recipe, water_sound_speed, where)
        return anatomy, tissues, ""
    if recipe["kind"] == "breast":
        breast = BreastRecipe.of(recipe.get("breast", {}), f"breast in {where}")
        table = load_tissues(preset or breast.tissue_preset)
        return Breast(breast, table, seed, water_sound_speed), TISSUES, table.preset
    if recipe["kind"] == "head":
        head = HeadRecipe.of(recipe.get("head", {}), f"head in {where}")
        table = load_tissues(preset or head.tissue_preset)
        for kind in HEAD_TISSUES:
            if kind not in table.tissues:
                raise InputError(
                    f"tissue preset {table.preset} has no {kind}; choose itrusst or prestus for a head"
                )
        return Head(head, table, seed, water_sound_speed), HEAD_TISSUES, table.preset
    raise InputError(f"{where} has kind {recipe['kind']!r}; use breast, head or geometric")


def _recipe_path(name: str) -> Path:
    """The file of a recipe."""
    if name.endswith(".toml"):
        return Path(name)
    if name not in names():
        raise InputError(
            f"there is no phantom {name!r}; choose from {', '.join(names())} or give a .toml file"
        )
    return toml.folder() / "recipes" / f"{name}.toml"


def _read_recipe(path: Path) -> dict[str, Any]:
    """Contents of a recipe, laid over the one it extends."""
    recipe = overrides.read(path)
    if "extends" in recipe:
        recipe = overrides.merged(_read_recipe(_recipe_path(str(recipe.pop("extends")))), recipe)
    for key in recipe:
        if key not in _KEYS:
            raise InputError(f"{path} has the unknown key {key!r}; known are {', '.join(_KEYS)}")
    for key in ("title", "kind", "half_width_mm"):
        if key not in recipe:
            raise InputError(f"{path} lacks the key {key!r}; add it")
    return recipe


def _checksum(values: torch.Tensor) -> str:
    """SHA-256 of the bytes of a tensor."""
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()
