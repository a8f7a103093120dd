"""Frequency continuation: low frequencies first, each stage starting from the image before it."""

from dataclasses import dataclass, replace
from typing import Literal

from usct.misfit.spectra import SourceWeights

OptimizerName = Literal["gauss-newton", "conjugate-gradients", "l-bfgs", "adam"]


@dataclass(frozen=True)
class Stage:
    """One step of the continuation.

    Attributes:
        frequencies: Frequencies inverted together [Hz].
        n_iterations: Model updates at most.
        optimizer: How an update is found.
        n_inner: Conjugate-gradient steps inside each Gauss-Newton update; few of them regularise. For Adam,
            steps of the parameters for each solution of the wave equation.
        learning_rate: Of Adam [1].
        cutoff: Highest object wavenumber kept, as a share of the diffraction limit 2 k [1].
        tolerance: The stage ends when an update lowers the objective by less than this share [1].
        source_weights: Which unknown weights the misfit fits.
    """

    frequencies: tuple[float, ...]
    n_iterations: int = 2
    optimizer: OptimizerName = "gauss-newton"
    n_inner: int = 5
    cutoff: float = 0.9
    tolerance: float = 2e-3
    source_weights: SourceWeights = "transmit"
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse stages that cannot run."""
        if not self.frequencies or min(self.frequencies) <= 0:
            raise ValueError(f"a stage needs positive frequencies, got {self.frequencies}")
        if self.n_iterations < 1 or self.n_inner < 1:
            raise ValueError("a stage needs at least one iteration and one inner iteration")
        if not 0 < self.cutoff <= 2:
            raise ValueError(f"cutoff must lie in 0 to 2 times the diffraction limit, got {self.cutoff:g}")

    @property
    def name(self) -> str:
        """Name for people."""
        return " + ".join(f"{f / 1e3:.4g}" for f in self.frequencies) + " kHz"

    @property
    def work(self) -> float:
        """Estimated work of one update, in arbitrary units.

        Grids follow the frequency, so that the nodes grow with its square; what was measured between 0.2 and
        0.65 MHz grows more slowly, because small grids leave processors idle. Gauss-Newton adds products over
        the fields, each about a fifth of a factorisation.
        """
        products = self.n_inner if self.optimizer in ("gauss-newton", "adam") else 0.5
        return sum((f / 1e6) ** 1.5 for f in self.frequencies) * (1.0 + 0.4 * products)


Schedule = tuple[Stage, ...]


def continuation(
    frequencies: tuple[float, ...],
    n_iterations: int | None,
    source_weights: SourceWeights | None,
    template: Stage,
) -> Schedule:
    """One stage for each frequency, from the lowest up.

    Receives' weights would explain delays that a poor start model leaves, so unless told otherwise the first
    stage fits transmits' weights alone and the later ones both; a single frequency gets one stage of each.

    Args:
        frequencies: Frequencies [Hz].
        n_iterations: Updates per frequency; by default two, or more where there are few frequencies to share
            the work: about six in all.
        source_weights: Which weights to fit in all stages, or None for the rule above.
        template: Everything else.
    """
    count = n_iterations or max(2, -(-6 // len(frequencies)))
    ordered = sorted(frequencies)
    stages = [replace(template, frequencies=(f,), n_iterations=count) for f in ordered]
    if source_weights is not None:
        return tuple(replace(stage, source_weights=source_weights) for stage in stages)
    if len(stages) == 1 and count > 1:
        first = (count + 1) // 2
        stages = [replace(stages[0], n_iterations=first), replace(stages[0], n_iterations=count - first)]
    later = [replace(stage, source_weights="both") for stage in stages[1:]]
    return (replace(stages[0], source_weights="transmit"), *later)
