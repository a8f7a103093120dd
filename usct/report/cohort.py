"""What a folder of results holds: every run with its scores, and the runs that are missing or failed."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from usct import io
from usct.diagnosis import Diagnosis
from usct.errors import InputError
from usct.evaluation.intervals import Estimate, wilson
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction


@dataclass(frozen=True)
class Run:
    """One reconstruction of one case.

    Attributes:
        case: Name of the case.
        method: Name of the method.
        folder: Where its files are.
        scores: What `CaseScores.as_dict` wrote; empty if there is no finished run, or no known truth.
        sentence: Why there are none; empty if there are.
        status: "done" where there is a result, "failed", or "missing" where it has not been run to its end.
    """

    case: str
    method: str
    folder: Path
    scores: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""
    status: Literal["done", "failed", "missing"] = "missing"

    @property
    def is_failure(self) -> bool:
        """Whether the run failed, or its image is no better than the start, or cycle-skipped."""
        return self.status == "failed" or bool(self.scores.get("is_failure"))

    def number(self, *names: str) -> float:
        """A score by the names that lead to it; NaN where there is none."""
        value: Any = self.scores
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, int | float) else math.nan

    def items(self, name: str) -> list[Mapping[str, Any]]:
        """A list of the scores, such as lesions; empty where there is none."""
        return list(self.scores.get(name) or ())

    def result(self) -> Reconstruction | None:
        """The reconstruction, or None where its file is missing."""
        thing = _load(self.folder / "result.h5")
        return thing if isinstance(thing, Reconstruction) else None

    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis, or None where its file is missing."""
        thing = _load(self.folder / "kernels.h5")
        return thing if isinstance(thing, Diagnosis) else None


@dataclass(frozen=True)
class Cohort:
    """All runs of a folder of results.

    Attributes:
        folder: Where they are.
        cases: Names of all cases, sorted.
        methods: Names of all methods, in the order of the manifest.
        runs: One for each case and method.
        phantoms: File of each case's truth.
        facts: What the manifest says of the whole, text to text.
        configuration: Text of the batch's configuration; empty if it was not kept.
    """

    folder: Path
    cases: tuple[str, ...]
    methods: tuple[str, ...]
    runs: tuple[Run, ...]
    phantoms: Mapping[str, Path]
    facts: Mapping[str, str]
    configuration: str

    def of(self, method: str) -> tuple[Run, ...]:
        """Runs of a method, one for each case in order."""
        return tuple(run for run in self.runs if run.method == method)

    def values(self, method: str, *names: str) -> NDArray[np.float64]:
        """A score of a method for each case in order; NaN where it is missing."""
        return np.array([run.number(*names) for run in self.of(method)])

    def truth(self, case: str) -> Phantom | None:
        """The phantom of a case, or None where its file is missing."""
        path = self.phantoms.get(case)
        thing = None if path is None else _load(path)
        return thing if isinstance(thing, Phantom) else None

    def failures(self, method: str) -> Estimate:
        """Share of failures among the runs that failed or were scored; the others do not count."""
        runs = [run for run in self.of(method) if run.scores or run.status == "failed"]
        return wilson(sum(run.is_failure for run in runs), len(runs))

    def lesions(self, method: str) -> Iterator[tuple[Run, Mapping[str, Any]]]:
        """Every scored lesion of a method with its run."""
        for run in self.of(method):
            for lesion in run.items("lesions"):
                yield run, lesion


def load_cohort(folder: Path) -> Cohort:
    """Read a folder of results as `usct batch` leaves it, while it runs or after.

    Args:
        folder: With manifest.json, and a folder for each case and method.

    Returns:
        The cohort; runs that are missing or failed are in it, with the reason.

    Raises:
        InputError: If the folder holds no results, or one of its files cannot be read.
    """
    manifest = _json(folder / "manifest.json") if (folder / "manifest.json").is_file() else {}
    listed = {(str(r["case"]), str(r["method"])): r for r in manifest.get("runs", []) if "case" in r}
    found = {(p.parent.parent.name, p.parent.name) for p in folder.glob("*/*/evaluation.json")}
    found |= {(p.parent.parent.name, p.parent.name) for p in folder.glob("*/*/failed.json")}
    methods = dict.fromkeys([*manifest.get("methods", []), *(m for _, m in [*listed, *sorted(found)])])
    entries = {str(c["name"]): c for c in manifest.get("cases", [])}
    cases = sorted({c for c, _ in [*listed, *found]} | set(entries))
    if not cases or not methods:
        raise InputError(f"{folder}: there are no results in it; give the folder that 'usct batch' wrote to.")
    runs = tuple(
        _run(folder, case, method, str(listed.get((case, method), {}).get("sentence", "")))
        for method in methods
        for case in cases
    )
    config = folder / "config.toml"
    return Cohort(
        folder=folder,
        cases=tuple(cases),
        methods=tuple(methods),
        runs=runs,
        phantoms={
            name: folder / str(entry["phantom"]) for name, entry in entries.items() if entry.get("phantom")
        },
        facts={k: str(v) for k, v in manifest.items() if isinstance(v, str | int | float)},
        configuration=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
    )


def _run(folder: Path, case: str, method: str, sentence: str) -> Run:
    place = folder / case / method
    if (place / "done.json").is_file():
        if (place / "evaluation.json").is_file():
            return Run(case, method, place, _json(place / "evaluation.json"), status="done")
        return Run(case, method, place, {}, "Its truth is not known, so nothing was scored.", status="done")
    if (place / "failed.json").is_file():
        sentence = str(_json(place / "failed.json").get("sentence", "")) or sentence
        return Run(case, method, place, {}, sentence or "It failed without a reason given.", "failed")
    return Run(case, method, place, {}, "It has not been run to its end.")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: this is no readable JSON ({error}); run 'usct batch' again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: this holds no table of facts; run 'usct batch' again.")
    return content


def _load(path: Path) -> object:
    return io.load(path) if path.is_file() else None
