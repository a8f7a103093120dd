"""What a run was made from, found again."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from usct.cli.paths import load_scan, load_start, load_water, sha256
from usct.errors import InputError

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.reconstruction import Reconstruction


def load_inputs(
    result: "Reconstruction", file: Path, scan: Path, start: Path | None = None, water: Path | None = None
) -> "Acquisition":
    """The scan as a run saw it: without its truth, with the start model that it began from, over its water shot.

    Args:
        result: What the run made.
        file: Where it was read from; start model and water shot that are not named are looked for beside it.
        scan: The scan's file.
        start: File of the start model.
        water: File of the water shot.

    Raises:
        InputError: If a file cannot be read, is not there, or is another one than the run's.
    """
    acquisition = dataclasses.replace(load_scan(scan), truth=None)
    start = _found(result, file, start, "start")
    if start is not None:
        acquisition = dataclasses.replace(acquisition, start=load_start(start))
    water = _found(result, file, water, "water_shot")
    if water is not None:
        from usct.assembly import referenced
        from usct.revisiting import settings_of

        acquisition = referenced(acquisition, load_water(water, scan), settings_of(result))
    return acquisition


def _found(result: "Reconstruction", file: Path, given: Path | None, key: str) -> Path | None:
    """The file that is given, or that a result remembers; none if it was made without."""
    name, wanted = (result.provenance.get(k) for k in (key, f"{key}_sha256"))
    if name is None:
        return given
    option = f"--{key.partition('_')[0]}"
    path = given or file.parent / Path(name).name
    if not path.exists():
        raise InputError(
            f"{file}: was made with {option} {name}, which is not at {path}; give it with {option}."
        )
    if wanted is not None and sha256(path) != wanted:
        raise InputError(f"{path}: is not the {name} that {file} was made with; give that one with {option}.")
    return path
