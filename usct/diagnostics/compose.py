"""A whole diagnosis of one point of a run: every part after the other, with a word on how far it has come."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from usct.diagnosis import Diagnosis
from usct.diagnostics.belief import Belief, Report, believe, solved
from usct.diagnostics.data_side import Gain, GainProbe, stop_suggestion
from usct.diagnostics.eigen import spectral_density, top_eigenpairs
from usct.diagnostics.kernels import TangentKernels, WaveProducts
from usct.diagnostics.model_side import Transfer, transfer, wavenumber
from usct.diagnostics.resolution import DISTANCE, Combs, filtered_width
from usct.diagnostics.sentences import summary
from usct.diagnostics.sides import Options, data_side, drift_along, image_side, rows_at, try_steps
from usct.diagnostics.uncertainty import (
    deviation_map,
    error_draws,
    fitted_errors,
    looking,
    sound_speed,
)
from usct.errors import InputError

Progress = Callable[[float, str], None]

N_DRAWS = 8
"""Random errors for the map of uncertainty, which they make uncertain by a tenth."""

LOW_PASSED, EDGE = ("pixel", "filtered"), 1.05
"""Representations whose steps hold no detail beyond a cutoff, and where its edge ends, over the cutoff."""

LEAST_CELLS = 20_000
"""Cells of the image from which on half of the waves' cells are enough, and worth it."""

REST, MOST_PRODUCTS = 0.25, 16
"""Share of what shows of any estimate that the last product may change, and products at most. On small rings with and
without a skull, at 20 to 40 dB, the deviation is then right to a few per cent, where the luck of the draws is a
tenth."""


@dataclass(frozen=True)
class Facts:
    """What is known about the point.

    Attributes:
        at: Which point of the run: start, end, or the name of a checkpoint.
        representation: Name of what makes the image.
        optimizer: Whose steps the kernels describe.
        cutoff: Share of the diffraction limit beyond which the image holds no detail [1].
        steps: Of least squares in each of the run's updates of these data; none if it made the most probable image,
            or by other means.
    """

    at: str
    representation: str
    optimizer: str
    cutoff: float
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What estimates by conjugate gradients tell.

    Attributes:
        gain: What there is to learn.
        resolution: Width of the smallest detail, shape of the image [m]; None without maps.
        deviation: Of the sound speed, shape of the image [m/s]; None without maps.
        unsettled: Largest share by which the last product changed what shows of an estimate, if that was too much [1].
    """

    gain: Gain
    resolution: torch.Tensor | None = None
    deviation: torch.Tensor | None = None
    unsettled: float = 0.0


def diagnose(
    kernels: TangentKernels,
    facts: Facts,
    start: TangentKernels | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    later: Iterable[tuple[int, TangentKernels]] | None = None,
) -> Diagnosis:
    """Find out what the data support at one point of a run.

    Args:
        kernels: There, with the constant.
        facts: What is known about the point.
        start: At the start of the run, of the same data; None at the start itself.
        options: How thorough to be.
        progress: Called with the share done and a sentence.
        later: Points along the run, updates done and the kernels then, by which to judge the kernel's drift.

    Raises:
        InputError: If the kernel lets nothing pass at all, or a point lies outside the region.
    """
    options, tell = options or Options(), progress or _silent
    # A tailored image holds no detail beyond the cutoff.
    tailored, detail = kernels.point.damping > 0, facts.cutoff * 2 * wavenumber(kernels)
    rows, waves = rows_at(kernels, options.points), _thinned(kernels, detail) if tailored else None
    shown = kernels.at(kernels.point, without_constant=not options.constant)
    tell(0.02, "Finding the strongest patterns")
    pairs = top_eigenpairs(shown, options.n_modes, seed=options.seed)
    if not len(pairs.values):
        raise InputError(
            "no pattern of these data can be told from noise here; look at the start of the run, or at another "
            "frequency"
        )
    tell(0.2, "Estimating the whole spectrum")
    density = spectral_density(shown, options.n_probes, options.n_lanczos, options.seed)
    tell(0.35, "Measuring what passes at each size of detail")
    passed = transfer(shown, seed=options.seed)
    tell(0.4, "Telling noise from image")
    belief = held(kernels, options, start)
    found = _findings(kernels, belief, passed, facts, start, options, tell, waves)
    data_kernel = data_side(shown, pairs, density, found.gain.determined, options.seed)
    tell(0.85, "Trying what theory foretells")
    # Steps move the constant as well, which patterns without it do not foretell.
    decay = try_steps(kernels, pairs, start, options) if options.n_steps and options.constant else None
    tell(0.9, "Following the kernel along the run")
    moved = None if later is None else drift_along(start or kernels, later, options.seed)
    observed = kernels.point.objective.observed.frequencies
    made = Diagnosis(
        grid=kernels.image,
        sound_speed=sound_speed(kernels),
        region=kernels.region,
        at=facts.at,
        frequencies=tuple(float(observed[n]) for n in kernels.frequencies),
        representation=facts.representation,
        optimizer=facts.optimizer if options.constant else f"{facts.optimizer}, constant left out",
        noise=belief.noise,
        scale=belief.scale,
        n_data=kernels.n_data,
        n_parameters=kernels.n_parameters,
        data_kernel=data_kernel,
        image_kernel=image_side(shown, pairs, passed),
        rows=rows,
        resolution=found.resolution,
        standard_deviation=found.deviation,
        decay=decay,
        summary=(),
        drift=moved,
    )
    tell(1.0, "Done")
    return summary(made, stop_suggestion(found.gain).sentence, found.unsettled)


def held(kernels: TangentKernels, options: Options, start: TangentKernels | None = None) -> Belief:
    """What is believed of noise and image, of the change since the start of the run if that is known."""
    change = None if start is None else (sound_speed(start) / sound_speed(kernels)).log()
    noise = None if options.snr_db is None else 10 ** (-options.snr_db / 10) / kernels.n_data
    return believe(kernels, noise, change, seed=options.seed)


def _findings(
    kernels: TangentKernels,
    belief: Belief,
    passed: Transfer,
    facts: Facts,
    start: TangentKernels | None,
    options: Options,
    tell: Progress,
    waves: WaveProducts | None,
) -> Findings:
    """Gain and maps, all of them by one solution for many right-hand sides, whose products share most of their cost."""
    what = "Mapping resolution and uncertainty" if options.maps else "Asking what is left to learn"
    before = None if start is None else start.residual()
    probe = GainProbe.of(kernels, belief, before, options.seed)
    eigenvalues, cutoff = passed.eigenvalues.clamp(min=0), facts.cutoff * passed.limit
    right = [kernels.adjoint_all(probe.data, waves)]
    distance = DISTANCE * filtered_width(passed.wavenumber, eigenvalues / (eigenvalues + belief.ratio))
    combs = Combs.of(kernels, distance) if options.maps and distance > 0 else None
    if combs is not None:
        right.append(kernels.adjoint_all(kernels.wave_all(combs.images), waves))
    if options.maps:
        right.append(error_draws(kernels, belief, N_DRAWS, options.seed, waves))
    # Without a preconditioner each product brings less.
    rest, most = (REST, MOST_PRODUCTS) if kernels.point.damping > 0 else (0.4 * REST, 3 * MOST_PRODUCTS)
    between = (0.65 if facts.steps else 0.8, 0.8)
    report, look = _report(tell, 0.45, between[0], what), looking(kernels, cutoff)
    every, change = solved(kernels, torch.cat(right), belief, rest, most, report, waves, look)
    found = every.split([len(part) for part in right])
    gain = probe.gain(kernels.apply_all(found[0]))
    if not options.maps:
        return Findings(gain)
    nothing = torch.full(kernels.image.shape, torch.nan, dtype=torch.float64)
    resolution = nothing if combs is None else combs.widths(kernels, map(kernels.image_of, found[1]))
    report = _report(tell, *between, "Fitting what was drawn as the run would")
    unsettled = float(change.max()) if float(change.max()) > rest else 0.0
    thin = _thinned(kernels, EDGE * cutoff) if facts.representation in LOW_PASSED else None
    errors = fitted_errors(kernels, belief, found[-1], facts.steps, cutoff, options.seed, report, thin)
    return Findings(gain, resolution, deviation_map(kernels, errors, cutoff), unsettled)


def _thinned(kernels: TangentKernels, detail: float) -> WaveProducts | None:
    """Products by some of the cells, where these tell the same of images without detail beyond a wavenumber [rad/m]."""
    return kernels.halved(detail) if int(kernels.region.sum()) >= LEAST_CELLS else None


def _report(tell: Progress, low: float, high: float, what: str) -> Report:
    """Tells how far a part of the diagnosis has come, between two shares of the whole."""
    return lambda share: tell(low + (high - low) * share, what)


def _silent(_: float, __: str) -> None:
    """Tell nothing."""
