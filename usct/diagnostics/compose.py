"""A whole diagnosis of one point of a run: every part after the other, with a word on how far it has come."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from usct.diagnosis import DataKernel, Decay, Diagnosis, ImageKernel
from usct.diagnostics.belief import Belief, believe, random_signs
from usct.diagnostics.convergence import (
    descend,
    drift,
    measured_decay,
    predicted_decay,
    steepest_rate,
)
from usct.diagnostics.data_side import frequency_bias, mode_energy, remaining_gain, stop_suggestion
from usct.diagnostics.eigen import (
    Eigenpairs,
    decay_exponent,
    degrees_of_freedom,
    effective_rank,
    spectral_density,
    top_eigenpairs,
)
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.model_side import mode_images, transfer
from usct.diagnostics.resolution import resolution_map
from usct.diagnostics.sentences import summary
from usct.diagnostics.uncertainty import sound_speed, standard_deviation
from usct.errors import InputError

Progress = Callable[[float, str], None]

N_DRIFT_MODES = 8
"""Patterns by which the drift of the kernel is judged; each costs four adjoint products."""

N_TRACE_PROBES = 4
"""Random data that tell the constant's share of the trace."""


@dataclass(frozen=True)
class Options:
    """How thorough a diagnosis is.

    Attributes:
        n_modes: Patterns to find one by one.
        n_steps: Gradient steps to try, each with a solution of the wave equation; 0 for none.
        n_probes: Random vectors for the density of eigenvalues.
        n_lanczos: Products for each of them.
        maps: Whether to map resolution and uncertainty, which takes longer than all the rest.
        snr_db: Energy of the data over that of the noise [dB]; None to find it in the data.
        seed: Of everything random.
    """

    n_modes: int = 32
    n_steps: int = 4
    n_probes: int = 4
    n_lanczos: int = 30
    maps: bool = True
    snr_db: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Facts:
    """What is known about the point.

    Attributes:
        at: Which point of the run: start, end, or the name of a checkpoint.
        representation: Name of what makes the image.
        optimizer: Whose steps the kernels describe.
        cutoff: Share of the diffraction limit beyond which the image holds no detail [1].
    """

    at: str
    representation: str
    optimizer: str
    cutoff: float


def diagnose(
    kernels: TangentKernels,
    facts: Facts,
    start: TangentKernels | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Find out what the data support at one point of a run.

    Args:
        kernels: There, with the constant.
        facts: What is known about the point.
        start: At the start of the run, of the same data; None at the start itself.
        options: How thorough to be.
        progress: Called with the share done and a sentence.

    Raises:
        InputError: If the kernel lets nothing pass at all.
    """
    options = options or Options()
    tell = progress or _silent
    tell(0.0, "Finding the strongest patterns")
    pairs = top_eigenpairs(kernels, options.n_modes, seed=options.seed)
    if not len(pairs.values):
        raise InputError(
            "no pattern of these data can be told from noise here; look at the start of the run, or at another "
            "frequency"
        )
    tell(0.08, "Estimating the whole spectrum")
    data_kernel, belief = data_side(kernels, pairs, options, start)
    tell(0.3, "Measuring what passes at each size of detail")
    image_kernel = image_side(kernels, pairs, options)
    resolution = deviation = None
    if options.maps:
        tell(0.33, "Mapping the resolution")
        resolution = resolution_map(kernels, belief)
        tell(0.58, "Mapping the uncertainty")
        cutoff = facts.cutoff * image_kernel.diffraction_limit
        deviation = standard_deviation(kernels, belief, cutoff, seed=options.seed)
    tell(0.82, "Asking what is left to learn")
    before = None if start is None else start.residual()
    advice = stop_suggestion(remaining_gain(kernels, belief, before, options.seed))
    tell(0.9, "Trying what theory foretells")
    decay = _decay(kernels, pairs, start, options) if options.n_steps else None
    observed = kernels.point.objective.observed.frequencies
    made = Diagnosis(
        grid=kernels.image,
        sound_speed=sound_speed(kernels),
        region=kernels.region,
        at=facts.at,
        frequencies=tuple(float(observed[n]) for n in kernels.frequencies),
        representation=facts.representation,
        optimizer=facts.optimizer,
        noise=belief.noise,
        scale=belief.scale,
        n_data=kernels.n_data,
        n_parameters=kernels.n_parameters,
        data_kernel=data_kernel,
        image_kernel=image_kernel,
        resolution=resolution,
        standard_deviation=deviation,
        decay=decay,
        summary=(),
    )
    tell(1.0, "Done")
    return summary(made, advice.sentence)


def data_side(
    kernels: TangentKernels, pairs: Eigenpairs, options: Options, start: TangentKernels | None = None
) -> tuple[DataKernel, Belief]:
    """The wave tangent kernel, and what is believed of noise and image.

    Args:
        kernels: At the point in question.
        pairs: Its largest eigenvalues with their modes.
        options: How thorough to be.
        start: At the start of the run.
    """
    density = spectral_density(kernels, options.n_probes, options.n_lanczos, options.seed)
    change = None if start is None else (sound_speed(start) / sound_speed(kernels)).log()
    noise = None if options.snr_db is None else 10 ** (-options.snr_db / 10) / kernels.n_data
    belief = believe(kernels, noise, change, seed=options.seed)
    numbers = kernels.frequencies
    modes = [torch.stack([kernels.as_matrix(mode, n) for n in numbers]) for mode in pairs.data_modes]
    kernel = DataKernel(
        eigenvalues=pairs.values,
        errors=pairs.errors,
        modes=torch.stack(modes).to(torch.complex64),
        nodes=density.nodes,
        weights=density.weights,
        trace=density.trace,
        trace_error=density.trace_error,
        effective_rank=effective_rank(density),
        degrees_of_freedom=degrees_of_freedom(density, belief.ratio),
        decay_exponent=decay_exponent(density),
        constant_share=constant_share(kernels, options.seed),
        energy=mode_energy(kernels, pairs).share,
        frequency_bias=frequency_bias(kernels, seed=options.seed).measured,
    )
    return kernel, belief


def image_side(kernels: TangentKernels, pairs: Eigenpairs, options: Options) -> ImageKernel:
    """The neural sensitivity kernel: its modes, and what passes at each wavenumber."""
    passed = transfer(kernels, seed=options.seed)
    responses = (passed.ntk, passed.gain, passed.gradient_raw, passed.gradient_filtered)
    representation, gain, raw, filtered = (values / values.max().clamp(min=1e-300) for values in responses)
    images = mode_images(kernels, pairs).float()
    return ImageKernel(images, passed.wavenumber, representation, gain, raw, filtered, passed.limit)


def constant_share(kernels: TangentKernels, seed: int = 0) -> float:
    """Share of the wave tangent kernel's trace that goes to changing the whole image alike, 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    probes = [random_signs(kernels.n_data, generator) for _ in range(N_TRACE_PROBES)]
    whole, rest = (
        sum(float(_kernels(kernels, without).adjoint(probe).square().sum()) for probe in probes)
        for without in (False, True)
    )
    return min(1.0, max(0.0, 1 - rest / whole)) if whole > 0 else math.nan


def _kernels(kernels: TangentKernels, without_constant: bool) -> TangentKernels:
    """The same kernels with or without the constant."""
    return TangentKernels(
        kernels.point,
        kernels.image,
        region=kernels.region,
        preconditioner=kernels.preconditioner,
        frequencies=kernels.frequencies,
        without_constant=without_constant,
    )


def _decay(
    kernels: TangentKernels, pairs: Eigenpairs, start: TangentKernels | None, options: Options
) -> Decay:
    """Predicted and measured decay over a few plain gradient steps from the point."""
    rate = steepest_rate(pairs.values)
    measured = measured_decay(descend(kernels, rate, options.n_steps), pairs)
    predicted = predicted_decay(pairs.values, measured[0], rate, options.n_steps)
    few = Eigenpairs(*(getattr(pairs, f.name)[:N_DRIFT_MODES] for f in fields(pairs)))
    # An optimizer's scaling follows the gradient's size, which says nothing of the kernel's own change.
    bare = TangentKernels(
        kernels.point, kernels.image, region=kernels.region, frequencies=kernels.frequencies
    )
    moved = math.nan if start is None else drift(bare, start, few).total
    scale = torch.where(measured[0] == 0, 1.0, measured[0])
    foretold = (predicted[-1] - measured[0]).norm()
    error = float((measured[-1] - predicted[-1]).norm() / foretold) if foretold > 0 else math.nan
    return Decay(rate, predicted / scale, measured / scale, error, moved)


def _silent(_: float, __: str) -> None:
    """Tell nothing."""
