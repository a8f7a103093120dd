"""All scores of one reconstruction, as a batch keeps them and a report reads them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from usct.evaluation.density import Density, density
from usct.evaluation.image_metrics import SKIN_DEPTH, Scores, evaluate
from usct.evaluation.lesions import LEAST_CONTRAST, LesionScores, equal_diameter, score_lesions
from usct.evaluation.observer import Patch, look
from usct.evaluation.regions import eroded, object_mask, speed_on
from usct.evaluation.resolution import AGAINST_TRUTH, RingCorrelation, ring_correlation
from usct.evaluation.skipping import MOST_SKIPPED, skipped_share
from usct.evaluation.tissues import PartScores, score_depths, score_tissues
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction

FADE = 5e-3
"""Images fade to water over this distance inside the object before they are correlated [m]."""


@dataclass(frozen=True)
class CaseScores:
    """Everything that is measured of one reconstruction with a known truth.

    Attributes:
        image: Scores of the whole object.
        tissues: Errors in each tissue; empty if the truth does not say what its cells are made of.
        depths: Errors in layers under the surface.
        lesions: One for each lesion.
        density: Of the image.
        true_density: Of the truth.
        correlation: Of image and truth by wavenumber.
        skipped: Share of rays whose travel time in the image is wrong by more than half a period of the highest
            frequency; NaN for volumes and for results that no frequency made.
        start_skipped: The same of the start, at the lowest frequency.
        patches: What a numerical observer sees.
        n_solves: Factorisations of the wave operator.
        seconds: Wall time of the inversion [s].
        diameter: Of the circle or sphere as large as the object [m].
    """

    image: Scores
    tissues: tuple[PartScores, ...]
    depths: tuple[PartScores, ...]
    lesions: tuple[LesionScores, ...]
    density: Density
    true_density: Density
    correlation: RingCorrelation
    skipped: float
    start_skipped: float
    patches: tuple[Patch, ...]
    n_solves: int
    seconds: float
    diameter: float

    @property
    def resolution(self) -> float:
        """Smallest detail in which image and truth correlate by at least one half [m]."""
        return self.correlation.resolution(AGAINST_TRUTH)

    @property
    def is_failure(self) -> bool:
        """Whether the image is no better than the start, not finite, or cycle-skipped."""
        no_better = math.isfinite(self.image.start_rmse) and not self.image.rmse < self.image.start_rmse
        return no_better or not math.isfinite(self.image.rmse) or self.is_skipped

    @property
    def is_skipped(self) -> bool:
        """Whether more than 2 % of rays are wrong by more than half a period."""
        return self.skipped > MOST_SKIPPED

    def as_dict(self) -> dict[str, Any]:
        """All scores for JSON: None stands for what is not finite."""
        facts = {
            **self.image.as_dict(),
            "tissues": [asdict(part) for part in self.tissues],
            "depths": [asdict(part) for part in self.depths],
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "density": _with_class(self.density),
            "true_density": _with_class(self.true_density),
            "correlation": {
                "frequencies": self.correlation.frequencies.tolist(),
                "correlation": self.correlation.correlation.tolist(),
                "resolution": self.resolution,
            },
            "skipped": self.skipped,
            "start_skipped": self.start_skipped,
            "is_skipped": self.is_skipped,
            "is_failure": self.is_failure,
            "patches": [asdict(patch) for patch in self.patches],
            "n_solves": self.n_solves,
            "seconds": self.seconds,
            "diameter": self.diameter,
        }
        return {name: finite(value) for name, value in facts.items()}

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Label and text of what adds to the scores of the whole image, for people."""
        rows = [
            (part.name.capitalize(), f"bias {part.bias:+.2f}, MAE {part.mae:.2f}, RMSE {part.rmse:.2f} m/s")
            for part in self.tissues
        ]
        for lesion in self.lesions:
            is_told = math.isfinite(lesion.recovery)
            recovery = f"contrast recovery {lesion.recovery:.2f}, " if is_told else ""
            width = f"shown as {1e3 * lesion.measured_diameter:.1f} mm"
            rows.append(
                (
                    f"Lesion: {lesion.kind}, {1e3 * lesion.diameter:.1f} mm",
                    f"{recovery}CNR {lesion.cnr:+.1f}, centroid off by {1e3 * lesion.centroid_error:.2f} mm, "
                    f"{width if is_told else f'fainter than {LEAST_CONTRAST:g} m/s'}",
                )
            )
        if math.isfinite(self.resolution):
            rows.append(
                ("Resolved against the truth", f"{1e3 * self.resolution:.2f} mm (Fourier ring correlation)")
            )
        if math.isfinite(self.skipped):
            rows.append(("Rays wrong by half a period", f"{self.skipped:.1%}"))
        return tuple(rows)


def evaluate_case(result: Reconstruction, truth: Phantom | Medium) -> CaseScores:
    """Take every score of a reconstruction.

    Args:
        result: The reconstruction.
        truth: The phantom that made the data; of a medium alone, tissues and lesions are not known.

    Returns:
        The scores.

    Raises:
        ValueError: If result and truth differ in their number of axes.
    """
    medium = truth.medium if isinstance(truth, Phantom) else truth
    scores = evaluate(result.medium, medium, result.start, highest_frequency=result.highest_frequency)
    mask, spacing = object_mask(medium), medium.grid.spacing
    inside, interior = mask.numpy(), eroded(mask, SKIN_DEPTH, spacing).numpy()
    image, start, expected = (speed_on(medium.grid, m) for m in (result.medium, result.start, medium))
    frequencies = [record.frequency for record in result.history]
    skipped = [
        skipped_share(speed, expected, inside, spacing, limit) if frequencies else math.nan
        for speed, limit in ((image, max(frequencies, default=1)), (start, min(frequencies, default=1)))
    ]
    last = result.history[-1] if result.history else None
    return CaseScores(
        image=scores,
        tissues=score_tissues(image, truth, inside) if isinstance(truth, Phantom) else (),
        depths=score_depths(image, expected, inside, spacing),
        lesions=score_lesions(image, truth) if isinstance(truth, Phantom) else (),
        density=density(image, inside, interior),
        true_density=density(expected, inside, interior),
        correlation=_correlation(image, expected, inside, spacing),
        skipped=skipped[0],
        start_skipped=skipped[1],
        patches=look(image, truth) if isinstance(truth, Phantom) else (),
        n_solves=last.n_solves if last else 0,
        seconds=last.seconds if last else 0.0,
        diameter=equal_diameter(int(inside.sum()), inside.ndim, spacing),
    )


def _correlation(
    image: NDArray[np.float64], truth: NDArray[np.float64], inside: NDArray[np.bool_], spacing: float
) -> RingCorrelation:
    """Correlation of image and truth, both faded to nothing at the surface, less their means."""
    padded = np.pad(inside, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing)[(slice(1, -1),) * inside.ndim]
    weight = np.sin(0.5 * math.pi * np.clip(depth / FADE, 0, 1)) ** 2
    total = max(float(weight.sum()), 1.0)
    first, second = (weight * (v - float((weight * v).sum()) / total) for v in (image, truth))
    return ring_correlation(first, second, spacing)


def finite(value: Any) -> Any:
    """The same value with None for every number in it that is not finite, and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def _with_class(found: Density) -> dict[str, Any]:
    return {**asdict(found), "density_class": found.density_class}
