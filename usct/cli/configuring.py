"""The verb that explains settings."""

import json
import textwrap
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usct.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

WIDTH = 110
_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def settings(
    sections: Annotated[
        list[str] | None,
        typer.Argument(help="Only these, such as schedule or tissues.bone.", show_default=False),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset to show; see --presets for their names.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings over the preset.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A setting over both, as section.key=value.")
    ] = None,
    presets: Annotated[bool, typer.Option("--presets", help="List the presets, and leave.")] = False,
) -> None:
    """Explain every setting of a reconstruction, with the value that it would have.

    What is printed is a file for --config, to be changed by hand:

      usct settings --preset transcranial > head.toml
      usct reconstruct scan.h5 --config head.toml -o result.h5

      usct settings schedule misfit          these two sections alone
      usct settings --presets                what there is to start from
    """
    from usct.config import load_config, preset_names

    if presets:
        for name in preset_names():
            typer.echo(f"{name:20s} {load_config(name, None, []).description}")
        return
    chosen = load_config(preset, config, changes or [])
    tables = dict(_tables(chosen))
    wanted = _wanted(sections or (), tables)
    if not sections:
        typer.echo('# Settings of "usct reconstruct", for its --config; "none" is for what is not set.')
    for number, name in enumerate(wanted):
        typer.echo("\n" * bool(number) + tables[name])


def _wanted(sections: Sequence[str], tables: dict[str, str]) -> list[str]:
    """Names of the tables asked for, those inside others included."""
    names = list(tables)
    # Of a single setting its whole section is shown.
    parents = {s: s.rpartition(".")[0] for s in sections}
    sections = [parents[s] if s not in names and parents[s] in names[1:] else s for s in sections]
    for section in sections:
        if not any(f"{name}.".startswith(f"{section}.") for name in names):
            known = ", ".join(name for name in names if name)
            raise InputError(f"there is no section {section!r} of settings; choose from {known}")
    return [n for n in names if not sections or any(f"{n}.".startswith(f"{s}.") for s in sections)]


def _tables(model: "BaseModel", prefix: str = "", about: str | None = None) -> Iterator[tuple[str, str]]:
    """Every table of settings in TOML, explained, by its name; that of the whole comes first and has none."""
    from pydantic import BaseModel

    values = {name: getattr(model, name) for name in type(model).model_fields}
    lines = [f"[{prefix}]  # {about or (model.__doc__ or '').splitlines()[0]}"] if prefix else []
    for name, field in type(model).model_fields.items():
        if not isinstance(values[name], BaseModel):
            lines += [*_explained(field), _assigned(name, values[name])]
    if len(lines) > bool(prefix):
        yield prefix, "\n".join(lines)
    for name, value in values.items():
        if isinstance(value, BaseModel):
            about = type(model).model_fields[name].description
            yield from _tables(value, f"{prefix}.{name}" if prefix else name, about)


def _explained(field: "FieldInfo") -> list[str]:
    """What a setting means and what it may be, as comments."""
    words = [field.description or "", _choices(field.annotation), _limits(field.metadata)]
    text = " ".join(" ".join(words).split())
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ")


def _choices(annotation: Any) -> str:
    found = [str(value) for value in _literals(annotation)]
    return f"One of: {', '.join(found)}." if found else ""


def _literals(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
        return
    for part in typing.get_args(annotation):
        yield from _literals(part)


def _limits(metadata: Sequence[Any]) -> str:
    found = [
        f"{words} {getattr(limit, name):g}"
        for limit in metadata
        for name, words in _LIMITS.items()
        if getattr(limit, name, None) is not None
    ]
    text = " and ".join(found)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _assigned(name: str, value: Any) -> str:
    """A line of TOML."""
    return f"{name} = {json.dumps('none' if value is None else value, ensure_ascii=False)}"
