"""Settings of a batch: what is scanned, how scans are simulated, and by which methods they are reconstructed."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from usct import overrides
from usct.acquisition import TransducerArray
from usct.config import RunConfig, load_config
from usct.errors import InputError
from usct.phantom import toml
from usct.settings import Section
from usct.units import MILLIMETRE

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$"
_NOT_IDENTITY = {"description", "threads", "device"}


class Population(Section):
    """The phantoms of a batch that brings its own."""

    name: str = Field("breast", description="Population or recipe, as for 'usct phantom'.")
    count: int = Field(24, ge=1, le=100_000)
    seed: int = Field(1000, ge=0, description="Of the first phantom; the next one has the next number.")
    spacing_mm: float = Field(0.4, gt=0, le=5)
    tissue_preset: str = Field("", description="Of phantoms/tissue.toml; empty: the recipe's.")


class ScanSettings(Section):
    """How scans are simulated where the dataset holds phantoms."""

    elements: int = Field(256, ge=3, le=8192)
    transmits: int | None = Field(
        None, ge=1, description="How many elements fire, evenly spread; none: all. All of them listen."
    )
    radius_mm: float = Field(110.0, gt=1, le=2000)
    frequencies_mhz: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.2, 0.3, 0.4, 0.5, 0.65), min_length=1
    )
    snr_db: float | None = Field(40.0, description="None: no noise.")
    seed: int = Field(0, ge=0, description="Of pulse, strengths and noise, drawn anew for each case.")
    engine: Literal["time", "frequency"] = Field(
        "time", description="Time stepping shares nothing with the inversion; the direct solver is quicker."
    )
    spacing_mm: float | None = Field(None, gt=0, description="Of the grid; none: as the engine chooses.")
    uniform_density: bool = Field(False, description="Simulate with the water's density everywhere.")
    traces: bool = Field(False, description="Reconstruct from traces, not from their spectra; time engine.")
    keep: bool = Field(False, description="Keep the scans.")

    @model_validator(mode="after")
    def _elements_to_fire(self) -> Self:
        if self.transmits is not None and self.elements % self.transmits:
            raise ValueError(f"transmits must divide the {self.elements} elements evenly")
        return self

    @property
    def array(self) -> TransducerArray:
        """The ring."""
        ring = TransducerArray.ring(self.elements, self.radius_mm * MILLIMETRE)
        step = self.elements // (self.transmits or self.elements)
        return replace(ring, transmits=ring.transmits[::step])


class DiagnosisSettings(Section):
    """Whether kernels are looked at after every reconstruction."""

    run: bool = False
    modes: int = Field(32, ge=1)


class BatchSettings(Section):
    """All settings of a batch."""

    description: str = ""
    population: Population | None = None
    scan: ScanSettings = ScanSettings()
    diagnosis: DiagnosisSettings = DiagnosisSettings()
    reconstruct: dict[str, Any] = Field(
        default_factory=dict, description="Settings of 'usct reconstruct', with its preset, for all methods."
    )
    methods: dict[Annotated[str, Field(pattern=_NAME)], dict[str, Any]] = Field(
        {"tailored": {}},
        min_length=1,
        description="Name of a method to its settings over those.",
    )
    attempts: int = Field(2, ge=1, le=20, description="How often a case that fails is tried in all.")

    def run_config(self, method: str) -> RunConfig:
        """Settings of one method's reconstructions.

        Raises:
            InputError: If a setting is wrong.
        """
        settings = overrides.merged(self.reconstruct, self.methods[method])
        try:
            return load_config(None, None, _assignments(settings))
        except InputError as error:
            raise InputError(f"method {method}: {error}") from None

    def identity(self, method: str) -> str:
        """SHA-256 of all settings that a result of a method depends on."""
        facts = {
            "scan": self.scan.model_dump(exclude={"keep"}),
            "diagnosis": self.diagnosis.model_dump(),
            "reconstruct": self.run_config(method).model_dump(exclude=_NOT_IDENTITY),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def scan_identity(self) -> str:
        """SHA-256 of what a scan depends on beside its phantom."""
        return hashlib.sha256(self.scan.model_dump_json(exclude={"keep"}).encode()).hexdigest()


def batch_names() -> tuple[str, ...]:
    """Names of the batches that come with usct, sorted."""
    return tuple(sorted(path.stem for path in (toml.folder() / "batch").glob("*.toml")))


def load_batch(preset: str | None = None, file: Path | None = None) -> BatchSettings:
    """Put the settings of a batch together.

    Args:
        preset: Name of a batch that comes with usct.
        file: TOML file over it.

    Raises:
        InputError: If the preset, a key or a value is wrong, also in the settings of a method.
    """
    if preset is not None and preset not in batch_names():
        raise InputError(f"there is no batch {preset!r}; choose from {', '.join(batch_names())}")
    contents = {} if preset is None else overrides.read(toml.folder() / "batch" / f"{preset}.toml")
    if file is not None:
        contents = overrides.merged(contents, overrides.read(file))
    try:
        settings = BatchSettings.model_validate(contents)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{file or preset}: setting {key!r} is wrong ({first['msg']}); correct it") from None
    for method in settings.methods:
        settings.run_config(method)
    return settings


def as_toml(settings: Mapping[str, Any], path: str = "") -> str:
    """TOML text of nested settings; None is left out."""
    values = {key: value for key, value in settings.items() if value is not None}
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    text = "".join(f"{_key(key)} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, table in values.items():
        if isinstance(table, Mapping):
            below = f"{path}.{_key(key)}" if path else _key(key)
            text += f"\n[{below}]\n{as_toml(table, below)}"
    return text


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _assignments(settings: Mapping[str, Any], path: str = "") -> list[str]:
    """Nested settings as `section.key=value`; JSON of plain values is TOML."""
    lines = []
    for key, value in settings.items():
        name = f"{path}{key}"
        lines += (
            _assignments(value, f"{name}.") if isinstance(value, Mapping) else [f"{name}={json.dumps(value)}"]
        )
    return lines
