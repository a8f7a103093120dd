"""Where the TOML files of phantoms/ are, and frozen dataclasses from them, with errors that name file and key."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from usct.errors import InputError

T = TypeVar("T")


def folder() -> Path:
    """Where the recipes are: `usct/_phantoms` of an installed wheel, else `phantoms` of the repository.

    Raises:
        InputError: If neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_phantoms", package.parent / "phantoms"):
        if (candidate / "tissue.toml").is_file():
            return candidate
    raise InputError(f"the phantom recipes are missing beside {package}; reinstall usct")


def build(kind: type[T], table: dict[str, Any], where: str) -> T:
    """Make a dataclass from a TOML table whose keys are its fields; lists become tuples.

    Args:
        kind: The dataclass.
        table: Keys and values.
        where: What to call the table in an error.

    Raises:
        InputError: If a key is unknown or missing, or if a value has the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise InputError(f"{where} has the unknown key {key!r}; known are {', '.join(fields)}")
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _typed(table[name], field.type, f"{name} in {where}")
        elif field.default is dataclasses.MISSING:
            raise InputError(f"{where} lacks the key {name!r}; add it")
    return kind(**values)


def _typed(value: Any, wanted: Any, where: str) -> Any:
    """`value` if it is of the type of a field: str, int, bool, float, or a tuple of floats."""
    if isinstance(wanted, type) and wanted in (str, int, bool) and type(value) is wanted:
        return value
    if wanted is float and type(value) in (int, float):
        return float(value)
    if (
        not isinstance(wanted, type)
        and isinstance(value, list)
        and all(type(v) in (int, float) for v in value)
    ):
        return tuple(float(v) for v in value)
    expected = wanted.__name__ if isinstance(wanted, type) else "list of numbers"
    raise InputError(f"{where} must be a {expected}, got {value!r}; correct it")
