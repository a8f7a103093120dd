"""Frequency continuation: low frequencies first, each stage starting from the image before it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from usct.inversion.edges import N_PRODUCTS
from usct.misfit.catalogue import BAND_NAMES, MisfitName
from usct.misfit.spectra import SourceWeights
from usct.parameterization.base import Unknown
from usct.parameterization.spectrum import RadialSpectrum, Tailoring, ring_symbol, tailored_spectrum

OptimizerName = Literal["gauss-newton", "conjugate-gradients", "l-bfgs", "adam"]

EDGE_SOLVES = 2
"""Factorisations that sharpening an image takes where the waves are linear enough."""

ATTENUATION_CUTOFF = 0.35
"""Finest detail of the attenuation that is sought, as a share of that of the sound speed."""


@dataclass(frozen=True)
class Kernel:
    """A kernel designed from acoustics alone; see `tailored_spectrum`.

    Attributes:
        sharpness: 0 smooth, 1 undoes the ring's symbol.
        reach: Roll-off as a share of the diffraction limit.
        share: Share of the object wavenumbers, over the waves' wavenumber, shape (..., 2), that the instrument
            samples; None for all.
    """

    sharpness: float
    reach: float
    share: Callable[[torch.Tensor], torch.Tensor] | None = None

    def tailoring(self, wave: float, edge: float) -> Tailoring:
        """The kernel for waves of some wavenumber [rad/m], cut at a share of their diffraction limit."""
        prior = tailored_spectrum(wave, self.sharpness, self.reach, edge)
        symbol = RadialSpectrum(prior.wavenumbers, ring_symbol(prior.wavenumbers, wave))
        share = self.share
        return Tailoring(
            symbol, prior, 0.0, sampled=None if share is None else lambda vectors: share(vectors / wave)
        )


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
        max_solves: Factorisations of the wave operator at most, or None for as many as the updates need.
        kernel: How kernels that can be tailored are: None for by the data.
        cutoff: Highest object wavenumber kept, as a share of the diffraction limit 2 k [1].
        tolerance: The stage ends when an update lowers the objective by less than this share [1].
        source_weights: Which unknown weights the misfit fits.
        unknown: Which map is sought; the other holds.
        misfit: How data are compared.
        sharpens: Whether updates, instead of explaining the data better, look for the sharpest image that explains
            them as well, see `edges`.
    """

    frequencies: tuple[float, ...]
    n_iterations: int = 2
    optimizer: OptimizerName = "gauss-newton"
    n_inner: int = 5
    cutoff: float = 0.9
    tolerance: float = 2e-3
    source_weights: SourceWeights = "transmit"
    learning_rate: float = 1e-3
    max_solves: int | None = None
    kernel: Kernel | None = None
    unknown: Unknown = "sound_speed"
    misfit: MisfitName = "least-squares"
    sharpens: bool = False

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
        frequencies = " + ".join(f"{f / 1e3:.4g}" for f in self.frequencies) + " kHz"
        means: list[str] = [self.misfit] if self.misfit != "least-squares" else []
        means += [self.unknown] if self.unknown != "sound_speed" else []
        means += ["edges"] if self.sharpens else []
        return ", ".join([frequencies, *means])

    @property
    def is_band(self) -> bool:
        """Whether its misfit compares all of its frequencies together."""
        return self.misfit in BAND_NAMES

    @property
    def detail_frequency(self) -> float:
        """Frequency of waves that show as much detail as the misfit can [Hz].

        Misfits of bands see when energy comes, which tells as much as waves at the bandwidth do.
        """
        highest = max(self.frequencies)
        return highest - min(self.frequencies) if self.is_band else highest

    @property
    def work(self) -> float:
        """Estimated work of one update, in arbitrary units.

        Grids follow the frequency, so that the nodes grow with its square; what was measured between 0.2 and
        0.65 MHz grows more slowly, because small grids leave processors idle. Gauss-Newton adds products over
        the fields, each about a fifth of a factorisation.
        """
        products = self.n_inner if self.sharpens or self.optimizer in ("gauss-newton", "adam") else 0.5
        return sum((f / 1e6) ** 1.5 for f in self.frequencies) * (1.0 + 0.4 * products)


Schedule = tuple[Stage, ...]


def within_budget(schedule: Schedule, max_solves: int, reserved: int = 0) -> Schedule:
    """The same stages with a budget of factorisations shared out evenly, the first stages getting the rest.

    Each stage spends one factorisation per frequency on its first point, and each update as many again.

    Args:
        schedule: Stages.
        max_solves: The budget.
        reserved: What is spent of it beside the stages.

    Raises:
        ValueError: If a stage could not make a single update.
    """
    n_frequencies = sum(len(stage.frequencies) for stage in schedule)
    each, rest = divmod(max_solves - reserved, n_frequencies)
    if each < 2:
        also = f" and {reserved} to look for cycle skips" if reserved else ""
        raise ValueError(
            f"a budget of {max_solves} factorisations is too small for {len(schedule)} stages of {n_frequencies} "
            f"frequencies in all{also}; give at least {2 * n_frequencies + reserved}, or fewer frequencies"
        )
    stages = []
    for stage in schedule:
        count = len(stage.frequencies)
        more = min(rest, count)
        rest -= more
        share = each * count + more
        stages.append(replace(stage, n_iterations=share // count - 1, max_solves=share, tolerance=0.0))
    return tuple(stages)


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


def with_misfits(schedule: Schedule, names: tuple[MisfitName, ...]) -> Schedule:
    """The schedule with other misfits, the first for its first stage and so on; the last holds for all the rest.

    A misfit of bands makes a stage of its own, of all frequencies that lie evenly above the lowest. If the last is
    one, there are no other stages.

    Args:
        schedule: For the sound speed, one frequency for each stage.
        names: Of the misfits.

    Raises:
        ValueError: If a band has fewer than three frequencies.
    """
    rest, stages = list(schedule), []
    for number, name in enumerate(names):
        last = number + 1 == len(names)
        if name in BAND_NAMES:
            band = _evenly_spaced(tuple(stage.frequencies[0] for stage in schedule))
            stages.append(replace(schedule[0], frequencies=band, misfit=name, n_iterations=6))
        else:
            count = len(rest) if last else 1
            stages += [replace(stage, misfit=name) for stage in rest[:count]]
            del rest[:count]
    return tuple(stages)


def _evenly_spaced(frequencies: tuple[float, ...]) -> tuple[float, ...]:
    """The longest row of frequencies [Hz] that are evenly spaced to one part in a hundred of the step."""
    have = sorted(set(frequencies))
    best: tuple[float, ...] = ()
    for number, lowest in enumerate(have):
        for second in have[number + 1 :]:
            row, step = [lowest, second], second - lowest
            row += [
                f for f in have if f > second and abs((f - lowest) / step - round((f - lowest) / step)) < 1e-2
            ]
            whole = [n for n, f in enumerate(row) if round((f - lowest) / step) == n]
            best = max(best, tuple(row[: len(whole)]), key=len)
    if len(best) < 3:
        have_khz = ", ".join(f"{f / 1e3:g}" for f in have)
        raise ValueError(f"needs three evenly spaced frequencies or more, but the run has {have_khz} kHz")
    return best


def with_attenuation(schedule: Schedule) -> Schedule:
    """The schedule for sound speed, the attenuation sought at each frequency after it, and sound speed once more.

    At each frequency sound speed comes first, because phases that are off by much look like loss. Higher frequencies
    must not wait for the attenuation: what it takes from their amplitudes would be drawn into the sound speed.

    Args:
        schedule: For the sound speed.
    """
    stages: list[Stage] = []
    unknown: Unknown = "attenuation"
    for number, stage in enumerate(schedule):
        stages.append(stage)
        if stage.is_band:
            continue
        if number + 1 == len(schedule) or schedule[number + 1].frequencies != stage.frequencies:
            cutoff = ATTENUATION_CUTOFF * stage.cutoff
            # Amplitudes hold less detail: the first frequency tells most of it, the others little each.
            count = 1 if any(s.unknown == unknown for s in stages) else 2
            stages.append(
                replace(stage, n_iterations=count, cutoff=cutoff, unknown=unknown, misfit="least-squares")
            )
    return (*stages, replace(schedule[-1], n_iterations=1))


def with_edges(schedule: Schedule) -> Schedule:
    """The schedule and one update more, at its last frequency, that sharpens the finished image.

    Args:
        schedule: Its last stage seeks the sound speed and compares single frequencies. If it has a budget, the new
            one's is `EDGE_SOLVES`.
    """
    last = schedule[-1]
    budget = None if last.max_solves is None else EDGE_SOLVES
    return (*schedule, replace(last, n_iterations=1, n_inner=N_PRODUCTS, max_solves=budget, sharpens=True))
