"""The verb compare-kernels: what each representation would learn from one scan, and how fast, before any run."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from usct.acquisition import Acquisition
from usct.assembly import build_inversion, prepare
from usct.config import RunConfig, load_config
from usct.diagnosis import Portrait, Portraits
from usct.diagnostics.compose import held
from usct.diagnostics.data_side import remaining_gain
from usct.diagnostics.eigen import spectral_density, top_eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.model_side import transfer
from usct.diagnostics.sides import Options, data_side, image_side
from usct.errors import InputError
from usct.forward.parallel import single_threaded_blas
from usct.revisiting import Frequency, adam_scaling, revisit, stage_of

REPRESENTATIONS = ("pixel", "tailored", "fourier", "siren", "multigrid", "hybrid")
"""What is compared unless told otherwise; filtered pixels have the kernel of pixels: the filter is the optimizer's."""

REST = 0.1
"""Share of the estimates that tell how many numbers the data determine which the last product may change."""

_TROUBLES = (InputError, ArithmeticError, MemoryError, torch.OutOfMemoryError)
"""What may stop one portrait without stopping the others."""


def compare_kernels(
    scan: Acquisition,
    representations: Sequence[str] = REPRESENTATIONS,
    frequency: Frequency = None,
    start: float | None = None,
    preset: str | None = None,
    settings: Sequence[str] = (),
    options: Options | None = None,
    plain: bool = False,
    on_portrait: Callable[[float, str], None] | None = None,
) -> Portraits:
    """Lay the kernels of several representations side by side, at the start of a run.

    What is constant over the image is left out of all of them: it would dominate some kernels and not others.

    Args:
        scan: The scan; its truth is not looked at.
        representations: Names.
        frequency: Whose data to look at [Hz], or "all"; None for the lowest.
        start: Uniform sound speed to start from [m/s]; None as `reconstruct` would.
        preset: Name of a preset.
        settings: Settings over it for all, as `section.key=value`.
        options: How thorough to be.
        plain: Describe plain gradient steps even where Adam would train.
        on_portrait: Called before each with the share done and its name.

    Raises:
        InputError: If a name, a setting or the frequency is at fault, or every single representation failed.
    """
    options, blind = options or Options(n_modes=16), replace(scan, truth=None)
    shared = [*settings] + ([] if start is None else [f"start.sound_speed={start!r}"])
    names = _names(representations)
    configs = [load_config(preset, None, [*shared, f"parameterization.name={name}"]) for name in names]
    portraits, frequencies = [], ()
    for number, (name, config) in enumerate(zip(names, configs, strict=True)):
        if on_portrait is not None:
            on_portrait(number / len(names), f"Looking at {name}")
        try:
            with single_threaded_blas():
                kernels, words = _kernels(blind, config, frequency, plain)
                portraits.append(_portrait(name, kernels, words, options))
            observed = kernels.point.objective.observed.frequencies
            frequencies = tuple(observed.tolist())
        except _TROUBLES as error:
            portraits.append(Portrait(name, message=str(error) or type(error).__name__))
    if all(portrait.message for portrait in portraits):
        raise InputError(portraits[0].message)
    return Portraits(scan.title, frequencies, tuple(portraits))


def _names(representations: Sequence[str]) -> list[str]:
    """The names, each without blanks around it."""
    names = [name.strip() for name in representations if name.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"representations are {', '.join(names) or 'none'}; name one at least, and each once"
        )
    return names


def _kernels(
    scan: Acquisition, config: RunConfig, frequency: Frequency, plain: bool
) -> tuple[TangentKernels, str]:
    """Kernels at the start of the run that the settings describe, and whose steps they describe."""
    observed, water, _ = prepare(scan, config)
    inversion = build_inversion(scan, config, observed, water)
    stage = stage_of(inversion, frequency, last=False)
    point = revisit(inversion, observed, stage)
    scaling = None if plain or stage.optimizer != "adam" else adam_scaling(point, stage, {})
    return TangentKernels(
        point, inversion.grid, preconditioner=scaling, without_constant=True
    ), "plain gradient steps" if scaling is None else "Adam's steps"


def _portrait(name: str, kernels: TangentKernels, optimizer: str, options: Options) -> Portrait:
    pairs = top_eigenpairs(kernels, options.n_modes, seed=options.seed)
    if not len(pairs.values):
        raise InputError("its kernel lets nothing pass that can be told from noise")
    density = spectral_density(kernels, options.n_probes, options.n_lanczos, options.seed)
    belief = held(kernels, options)
    count = belief.determined
    if count is None:
        count = remaining_gain(kernels, belief, seed=options.seed, rest=REST).determined
    data_kernel = data_side(kernels, pairs, density, count, options.seed)
    image_kernel = image_side(kernels, pairs, transfer(kernels, seed=options.seed))
    return Portrait(name, kernels.n_parameters, optimizer, "", data_kernel, image_kernel)
