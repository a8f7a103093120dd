"""The tissue table: which acoustic properties each tissue may have, and how they are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from usct import overrides
from usct.errors import InputError
from usct.phantom import toml


@dataclass(frozen=True)
class Draw:
    """A truncated normal distribution, in SI units.

    Attributes:
        mean: Mean before truncation.
        sd: Standard deviation before truncation; zero for a fixed value.
        low: Smallest value.
        high: Largest value.
    """

    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the order."""
        if not self.low <= self.mean <= self.high or self.sd < 0:
            raise ValueError(f"need low <= mean <= high and sd >= 0, got {self}")

    def sample(self, rng: np.random.Generator) -> float:
        """One value; always consumes exactly one uniform number, so that streams stay aligned."""
        uniform = float(rng.random())
        if self.sd == 0:
            return self.mean
        below, above = ndtr((self.low - self.mean) / self.sd), ndtr((self.high - self.mean) / self.sd)
        value = self.mean + self.sd * float(ndtri(below + uniform * (above - below)))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Tissue:
    """What is known of one tissue.

    Attributes:
        name: Its name.
        sound_speed: [m/s].
        density: [kg/m^3].
        attenuation: At the table's reference frequency [Np/m].
        confidence: "published" or "assumed".
    """

    name: str
    sound_speed: Draw
    density: Draw
    attenuation: Draw
    confidence: str


@dataclass(frozen=True)
class TissueTable:
    """A named preset of tissues.

    Attributes:
        preset: Its name.
        source: Where the numbers come from.
        reference_frequency: Frequency at which the attenuations hold [Hz].
        tissues: Name to tissue.
        attenuation_power: Breast density class to the exponent of the power law [1].
    """

    preset: str
    source: str
    reference_frequency: float
    tissues: Mapping[str, Tissue]
    attenuation_power: Mapping[str, float]


def load_tissues(preset: str = "", path: Path | None = None) -> TissueTable:
    """Read a preset of the tissue table.

    Args:
        preset: Its name, for example "park2023"; empty for the file's default.
        path: The table; by default the `tissue.toml` that comes with usct.

    Raises:
        InputError: If the file, the preset or an entry is missing or malformed.
    """
    path = path or toml.folder() / "tissue.toml"
    contents = overrides.read(path)
    presets = contents.get("presets", {})
    name = preset or contents.get("default", "")
    if name not in presets:
        raise InputError(f"{path} has no tissue preset {name!r}; choose from {', '.join(presets)}")
    table = presets[name]
    if "base" in table:
        table = overrides.merged(presets.get(table["base"], {}), table)
    try:
        return TissueTable(
            preset=name,
            source=table["source"],
            reference_frequency=float(contents["reference_frequency"]),
            tissues={key: _tissue(key, entry) for key, entry in table["tissues"].items()},
            attenuation_power={key: float(power) for key, power in table["attenuation_power"].items()},
        )
    except KeyError as error:
        raise InputError(f"preset {name} in {path} lacks the key {error}; add it") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"preset {name} in {path} holds a bad value ({error}); correct it") from error


def _tissue(name: str, entry: dict[str, Any]) -> Tissue:
    """One entry of the table."""
    speed, density, attenuation = (_draw(entry[key]) for key in ("sound_speed", "density", "attenuation"))
    return Tissue(name, speed, density, attenuation, entry["confidence"])


def _draw(value: float | list[float]) -> Draw:
    """A distribution from [mean, sd, low, high] or from one number."""
    if isinstance(value, list):
        mean, sd, low, high = (float(v) for v in value)
        return Draw(mean, sd, low, high)
    return Draw(float(value), 0.0, float(value), float(value))
