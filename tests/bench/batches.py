"""Small batches for benches: their settings, their phantoms, and what must hold of their results."""

from pathlib import Path

import torch

from usct import io
from usct.batch import BatchSettings, CaseFile, make_dataset
from usct.batch.records import Task


def small_settings(elements: int, frequencies_mhz: tuple[float, ...], attempts: int) -> BatchSettings:
    """Settings of a batch whose cases take seconds."""
    return BatchSettings.model_validate(
        {
            "scan": {"elements": elements, "frequencies_mhz": frequencies_mhz, "engine": "frequency"},
            "reconstruct": {"schedule": {"iterations": 2}},
            "methods": {"pixel": {"parameterization": {"name": "pixel"}}},
            "attempts": attempts,
        }
    )


def small_dataset(folder: Path, count: int) -> tuple[CaseFile, ...]:
    """Discs in water, all alike but for their names."""
    return make_dataset(folder, "disk", count, spacing=2e-3)


def problems(
    results: Path, undisturbed: Path, cases: tuple[CaseFile, ...], settings: BatchSettings
) -> list[str]:
    """What is wrong with the results of a disturbed batch, beside those of one that was left alone; nothing is best.

    A result is lost if its record does not hold; nothing else may lie beside it, nor any case that is not of the
    batch; and an image must be that of the undisturbed batch but for rounding, which differs where sums are shared
    out to other numbers of threads.
    """
    found = []
    for case in cases:
        task = Task(case, results / case.name, settings)
        for method in settings.methods:
            folder = task.folder / method
            if not task.is_done(method):
                found.append(f"{case.name}, {method}: lost ({task.sentence(method)})")
                continue
            names = {path.name for path in folder.iterdir()}
            if names != {"result.h5", "evaluation.json", "done.json"}:
                found.append(f"{case.name}, {method}: the folder holds {sorted(names)}")
            image, same = (
                io.load(root / case.name / method / "result.h5") for root in (results, undisturbed)
            )
            if not torch.allclose(image.medium.sound_speed, same.medium.sound_speed, rtol=1e-6, atol=0):
                found.append(f"{case.name}, {method}: another image")
    there = {path.parent.parent.name for path in results.glob("*/*/done.json")}
    return found + [f"{name}: a case too many" for name in sorted(there - {case.name for case in cases})]
