"""Settings of a reconstruction: a preset, a TOML file over it, and key=value over both."""

import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from usct.errors import InputError
from usct.overrides import merged, parsed, read
from usct.settings import (
    AttenuationSettings,
    Bounds,
    ForwardSettings,
    GridSettings,
    MisfitSettings,
    Optimizer,
    ParameterizationSettings,
    ScheduleSettings,
    Section,
    Start,
    Tissues,
    TraceSettings,
    Water,
)

DEFAULT_PRESET = "breast"


class RunConfig(Section):
    """All settings of a reconstruction."""

    description: str = ""
    preset: str = DEFAULT_PRESET
    device: str = Field("auto", description="auto, cpu, cuda or cuda:0.")
    precision: Literal["mixed", "double"] = Field(
        "mixed", description="Fields are solved in double; mixed stores them in single for products."
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; none: all.")
    start: Start = Start()
    water: Water = Water()
    traces: TraceSettings = TraceSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    parameterization: ParameterizationSettings = ParameterizationSettings()
    attenuation: AttenuationSettings = AttenuationSettings()
    misfit: MisfitSettings = MisfitSettings()
    forward: ForwardSettings = ForwardSettings()
    grid: GridSettings = GridSettings()
    bounds: Bounds = Bounds()
    tissues: Tissues = Tissues()

    @property
    def is_network(self) -> bool:
        """Whether a network makes the image."""
        chosen = self.parameterization
        linear = chosen.name == "tailored" and chosen.head == "linear"
        return not (linear or chosen.name in ("pixel", "filtered"))

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that is set, or that suits what makes the image."""
        if self.schedule.optimizer != "auto":
            return self.schedule.optimizer
        return "adam" if self.is_network else "gauss-newton"


def preset_names() -> tuple[str, ...]:
    """Names of the presets that come with usct."""
    files = resources.files("usct.presets").iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".toml")))


def load_config(preset: str | None, file: Path | None, overrides: Sequence[str]) -> RunConfig:
    """Put settings together.

    Args:
        preset: Name of a preset; none for the default, or for the one that the file names.
        file: TOML file over the preset.
        overrides: Settings over both, as `section.key=value`; values are TOML, bare words are text.

    Raises:
        InputError: If a preset, key or value is wrong; the sentence names it.
    """
    from_file = {} if file is None else read(file)
    over: dict[str, Any] = {}
    for override in overrides:
        over = merged(over, parsed(override))
    name = preset or str(over.get("preset", from_file.get("preset", DEFAULT_PRESET)))
    if name not in preset_names():
        raise InputError(f"there is no preset {name!r}; choose from {', '.join(preset_names())}")
    text = resources.files("usct.presets").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    whole = merged(merged(tomllib.loads(text), from_file), over)
    try:
        return RunConfig.model_validate(whole | {"preset": name})
    except ValidationError as error:
        raise InputError(_sentence(error, file)) from None


def _sentence(error: ValidationError, file: Path | None) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    where = f"{file}: " if file else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        return f"{where}unknown setting {key!r}; known here: {', '.join(known)}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}setting {key!r} = {json.dumps(first['input'], default=str)} is wrong: {reason}"


def _known_keys(path: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
