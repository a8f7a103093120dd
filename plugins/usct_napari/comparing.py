"""What can be compared: images of files, and how they differ. Nothing here needs Qt."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usct.acquisition import Acquisition
from usct.evaluation.case import CaseScores
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction

ERROR_WINDOWS = (10.0, 25.0, 50.0)
"""[m/s]."""


@dataclass(frozen=True, eq=False)
class Image:
    """Something to compare.

    Attributes:
        name: For people.
        medium: The image.
        path: Its file.
        quantity: Of the layer that shows it.
        result: The whole result, where it is one.
        truth: The whole truth, where it is one.
    """

    name: str
    medium: Medium
    path: Path
    quantity: str = "sound_speed"
    result: Reconstruction | None = None
    truth: Phantom | Medium | None = None

    @property
    def is_start(self) -> bool:
        """Whether a run began with it."""
        return self.result is None and self.truth is None


def errors_of(images: Sequence[Image], truth: Image) -> dict[str, torch.Tensor]:
    """Each image less the truth, but for the truth itself."""
    return {
        image.name: image.medium.sound_speed - truth.medium.resampled(image.medium.grid).sound_speed
        for image in images
        if image is not truth
    }


def error_window(errors: Iterable[torch.Tensor]) -> float:
    """Errors are shown from minus to plus this: the least of a few windows that holds 98 % of them [m/s]."""
    largest = max((float(np.percentile(error.abs().numpy(), 98)) for error in errors), default=0.0)
    return next((bound for bound in ERROR_WINDOWS if bound >= largest), ERROR_WINDOWS[-1])


def briefly(images: list[Image]) -> list[tuple[str, Image]]:
    """Names, without what all of them begin with, and images."""
    shared = len(os.path.commonprefix([image.name for image in images])) if len(images) > 1 else 0
    return [(image.name[shared:].strip(" :-") or image.name, image) for image in images]


def images_of(path: Path) -> list[Image]:
    """Everything of a file that can be compared."""
    from usct import io
    from usct.io.glance import glance

    seen = glance(path)
    thing: Any = seen or io.load(path)
    if isinstance(thing, Reconstruction):
        start = Image(f"{path.stem}: start", thing.start, path, "start_sound_speed")
        return [start, Image(path.stem, thing.medium, path, result=thing)]
    if isinstance(thing, Phantom):
        return [Image(path.stem, thing.medium, path, truth=thing)]
    if seen is None and not isinstance(thing, Acquisition):
        return []
    start, truth = thing.start, thing.truth
    found = [] if truth is None else [Image(f"{path.stem}: truth", truth, path, truth=truth)]
    return (
        found if start is None else [*found, Image(f"{path.stem}: start", start, path, "start_sound_speed")]
    )


def scored(results: Mapping[str, Reconstruction], truth: Phantom | Medium) -> dict[str, CaseScores]:
    """All scores of some results, by their names."""
    from usct.evaluation.case import evaluate_case

    return {name: evaluate_case(result, truth) for name, result in results.items()}
