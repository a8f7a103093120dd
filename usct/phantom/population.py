"""Populations: many phantoms, each given by its number alone."""

import bisect
import itertools

from usct import overrides
from usct.errors import InputError
from usct.phantom import toml
from usct.phantom.base import Phantom
from usct.phantom.catalogue import make, names

_GOLDEN = 0.6180339887498949


def population_names() -> tuple[str, ...]:
    """Names of the populations that come with usct, sorted."""
    return tuple(sorted(overrides.read(toml.folder() / "populations.toml")))


def recipe_of(name: str, seed: int) -> str:
    """The recipe of one member: shares are met as evenly as can be by any run of seeds.

    Args:
        name: A population, or a recipe, which is a population of its own.
        seed: Number of the member.

    Raises:
        InputError: If there is neither.
    """
    shares = overrides.read(toml.folder() / "populations.toml").get(name)
    if shares is None:
        if name not in names() and not name.endswith(".toml"):
            known = ", ".join(sorted({*names(), *population_names()}))
            raise InputError(f"there is no phantom {name!r}; choose from {known} or give a .toml file")
        return name
    edges = list(itertools.accumulate(shares.values()))
    place = ((seed + 0.5) * _GOLDEN) % 1.0 * edges[-1]
    return str(list(shares)[bisect.bisect_right(edges, place)])


def member_name(name: str, seed: int) -> str:
    """Name of a member, such as breast-1003."""
    return f"{name.rpartition('/')[2].removesuffix('.toml')}-{seed:04d}"


def make_member(name: str, seed: int, spacing: float, tissue_preset: str = "") -> Phantom:
    """Make one member of a population.

    Args:
        name: A population or a recipe.
        seed: Number of the member.
        spacing: Grid spacing [m].
        tissue_preset: Preset of the tissue table; empty for the recipe's.

    Raises:
        InputError: As `usct.phantom.make`.
    """
    return make(recipe_of(name, seed), seed, spacing, tissue_preset=tissue_preset)
