"""Settings before they are checked: from TOML files and `key=value`, and one laid over another."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usct.errors import InputError


def read(file: Path) -> dict[str, Any]:
    """Settings of a TOML file.

    Raises:
        InputError: If it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is not valid TOML ({error}); correct that line") from None


def parsed(override: str) -> dict[str, Any]:
    """Nested settings of `section.key=value`; the value is TOML, bare words are text.

    Raises:
        InputError: If there is no key or no value.
    """
    key, sign, value = override.partition("=")
    if not sign or not key.strip():
        raise InputError(
            f"--set {override!r} is not of the form section.key=value; try schedule.iterations=3"
        )
    try:
        setting: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        setting = value.strip()
    for part in reversed(key.strip().split(".")):
        setting = {part: setting}
    return dict(setting)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings laid over others, section by section."""
    result = dict(under)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
