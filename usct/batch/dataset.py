"""Datasets: folders of phantoms or scans, with a manifest of hashes."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from usct import io
from usct.errors import InputError
from usct.grid import Grid
from usct.io import atomic
from usct.io.atomic import prepare_folder
from usct.phantom import Phantom
from usct.phantom.population import make_member, member_name
from usct.units import MILLIMETRE

FORMAT, VERSION = "usct-dataset", 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class CaseFile:
    """One case of a dataset.

    Attributes:
        name: Its name, which is that of its folder among the results.
        path: The phantom or scan.
        sha256: Of the file.
        facts: Recipe, seed, tissue preset and whatever else the maker knew.
    """

    name: str
    path: Path
    sha256: str
    facts: Mapping[str, str] = field(default_factory=dict)


def make_dataset(
    folder: Path,
    name: str,
    count: int,
    seed: int = 0,
    spacing: float = 0.4 * MILLIMETRE,
    tissue_preset: str = "",
    on_progress: Callable[[float, str], None] | None = None,
) -> tuple[CaseFile, ...]:
    """Make a population of phantoms and its manifest; what is there already, and whole, is kept.

    Args:
        folder: Where to; it is made if need be.
        name: Population or recipe.
        count: How many phantoms.
        seed: Of the first; a phantom depends on its seed alone, not on the count.
        spacing: Of the phantoms' grids [m].
        tissue_preset: Preset of the tissue table; empty for the recipe's.
        on_progress: Called with the share done and a sentence.

    Raises:
        InputError: If a name is unknown, the folder holds another population, or the disk is full.
    """
    recipe = {"name": name, "seed": seed, "spacing": spacing, "tissue_preset": tissue_preset}
    known = _known(folder, recipe)
    cases = []
    for number in range(count):
        case = member_name(name, seed + number)
        path = folder / f"{case}.h5"
        old = known.get(case)
        if old is None or not path.is_file() or sha256(path) != old.sha256:
            if on_progress is not None:
                on_progress(number / count, f"Making {case}")
            made = make_member(name, seed + number, spacing, tissue_preset)
            io.save(made, path)
            old = CaseFile(case, path, sha256(path), facts_of(made))
            known[case] = old
            _write(folder, recipe, known)
        cases.append(old)
    return tuple(cases)


def slice_dataset(
    folder: Path, volume: Phantom, step: float, on_progress: Callable[[float, str], None] | None = None
) -> tuple[CaseFile, ...]:
    """Cut a volume into slices, a case each, so that a batch works on many of them at a time.

    Args:
        folder: Where to; it is made if need be.
        volume: A phantom in three dimensions; slices that are water alone are left out.
        step: Distance of the slices [m].
        on_progress: Called with the share done and a sentence.

    Raises:
        InputError: If the phantom is a slice already, the folder holds something else, or the disk is full.
    """
    grid, medium = volume.medium.grid, volume.medium
    if grid.n_dims != 3 or step < grid.spacing:
        raise InputError(
            f"a phantom of {grid.n_dims} axes and {grid.spacing / MILLIMETRE:g} mm cannot be cut every "
            f"{step / MILLIMETRE:g} mm; give a volume, and a step of one cell or more"
        )
    recipe: dict[str, object] = {"volume": volume.title, "step": step, **volume.provenance}
    known = _known(folder, recipe)
    planes = [
        int(i) for i in range(0, grid.shape[0], round(step / grid.spacing)) if bool(volume.labels[i].any())
    ]
    for plane in planes:
        height = grid.origin[0] + plane * grid.spacing
        name = f"plane-{plane:04d}"
        if on_progress is not None:
            on_progress(plane / grid.shape[0], f"Cutting {name}")
        own = Grid(grid.shape[1:], grid.spacing, grid.origin[1:])
        flat = replace(
            medium,
            grid=own,
            sound_speed=medium.sound_speed[plane].clone(),
            attenuation=None if medium.attenuation is None else medium.attenuation[plane].clone(),
            density=None if medium.density is None else medium.density[plane].clone(),
        )
        facts = volume.provenance | {"z_mm": f"{height / MILLIMETRE:g}"}
        cut = Phantom(flat, volume.labels[plane].clone(), volume.tissues, volume.title, facts)
        io.save(cut, folder / f"{name}.h5")
        known[name] = CaseFile(name, folder / f"{name}.h5", sha256(folder / f"{name}.h5"), facts_of(cut))
    _write(folder, recipe, known)
    return tuple(known.values())


def read_dataset(folder: Path) -> tuple[CaseFile, ...]:
    """List the cases of a folder: those of its manifest, or every .h5 and .mat file where there is none.

    Raises:
        InputError: If the folder holds no cases, or a file is missing or not the one of the manifest.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; make one with 'usct phantom breast --count 24 -o DIR'."
        )
    if (folder / MANIFEST).is_file():
        cases = tuple(_read(folder)["cases"].values())
    else:
        files = sorted(path for path in folder.iterdir() if path.suffix in {".h5", ".hdf5", ".mat"})
        cases = tuple(CaseFile(path.stem, path, "") for path in files)
    if not cases:
        raise InputError(f"{folder}: no phantom or scan is in this folder; give one that holds some.")
    return tuple(_checked(case) for case in cases)


def facts_of(phantom: Phantom) -> dict[str, str]:
    """What the maker of a phantom wrote about it."""
    return {"title": phantom.title, **phantom.provenance}


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(case: CaseFile) -> CaseFile:
    if not case.path.is_file():
        raise InputError(f"{case.path}: this case of the manifest is missing; make the dataset again.")
    found = sha256(case.path)
    if case.sha256 and found != case.sha256:
        raise InputError(
            f"{case.path}: the file is not the one that the manifest lists; make the dataset again."
        )
    return CaseFile(case.name, case.path, found, case.facts)


def _known(folder: Path, recipe: dict[str, object]) -> dict[str, CaseFile]:
    """The cases that a folder holds of the same population."""
    prepare_folder(folder)
    if not (folder / MANIFEST).is_file():
        return {}
    there = _read(folder)
    if there["recipe"] != recipe:
        raise InputError(f"{folder}: another population is in this folder; choose an empty one.")
    return dict(there["cases"])


def _read(folder: Path) -> dict[str, dict[str, CaseFile]]:
    path = folder / MANIFEST
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        if contents["format"] != FORMAT or contents["version"] != VERSION:
            raise ValueError(f"its format is {contents['format']!r}, version {contents['version']!r}")
        listed = [
            CaseFile(case["name"], folder / Path(case["file"]).name, case["sha256"], case["facts"])
            for case in contents["cases"]
        ]
        return {"recipe": contents["recipe"], "cases": {case.name: case for case in listed}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no manifest of a dataset ({error}); make the dataset again.") from None


def _write(folder: Path, recipe: dict[str, object], cases: Mapping[str, CaseFile]) -> None:
    listed = [
        {**{k: v for k, v in asdict(case).items() if k != "path"}, "file": case.path.name}
        for case in cases.values()
    ]
    contents = {"format": FORMAT, "version": VERSION, "recipe": recipe, "cases": listed}
    atomic.write_text(folder / MANIFEST, json.dumps(contents, indent=1) + "\n")
