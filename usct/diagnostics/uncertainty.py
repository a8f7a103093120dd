"""How far the image may be off: the standard deviation of its errors, given noise and what was held before.

Errors are drawn from their distribution: what an estimate of a random image from random data is off by has exactly
the covariance of the errors, whatever the image (perturb and maximise: Papandreou & Yuille, NIPS 23 (2010) 1858).
That costs one estimate each and holds as long as the waves are nearly linear in what is still missing and the beliefs
are right; errors of the model are covered as far as they look like noise.

Tailored kernels make the most probable image. Least squares make another, which errs more: nothing keeps noise out of
it but the number of steps. So for these the run's own steps are taken on to fit the data that were drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.func import functional_call

from usct.diagnosis import Diagnosis
from usct.diagnostics.belief import Belief, Look, Report, solved
from usct.diagnostics.kernels import TangentKernels, WaveProducts
from usct.diagnostics.model_side import wavenumber
from usct.forward.parallel import single_threaded_blas
from usct.grid import low_pass, resample
from usct.medium import Medium
from usct.parameterization.spectrum import lattice_wavenumbers

N_DRAWS = 16

VISIBLE = 0.9
"""Share of the diffraction limit up to which images hold detail unless told otherwise."""

REST = 0.1
"""Share of what shows of an error that the last product may change."""


@dataclass(frozen=True)
class Calibration:
    """How often errors stayed within what was announced.

    Attributes:
        nominal: Share of errors announced to lie within some multiple of the deviation, shape (level,) [1].
        empirical: Share that did, shape (level,) [1].
    """

    nominal: torch.Tensor
    empirical: torch.Tensor


def standard_deviation(
    kernels: TangentKernels,
    belief: Belief,
    cutoff: float | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    steps: Sequence[int] = (),
) -> torch.Tensor:
    """Standard deviation of the sound speed's errors.

    The variance of a few draws is averaged over neighbours within a quarter of a wavelength, and up to one
    in wide regions, for it changes slowly from place to place.

    Args:
        kernels: At the point in question.
        belief: Variances of noise and image.
        cutoff: Detail beyond this wavenumber is left out [rad/m]. Pixels hold detail that no wave sees and about
            which the data say nothing; without a cutoff that is counted too.
        n_draws: Random errors; the result is uncertain by a tenth or less with 16.
        seed: Of the draws.
        steps: Of least squares in each update that made the image; none for the most probable image.

    Returns:
        Shape of the image [m/s]; NaN outside the region.
    """
    right = error_draws(kernels, belief, n_draws, seed)
    errors, _ = solved(kernels, right, belief, REST, look=looking(kernels, cutoff))
    return deviation_map(kernels, fitted_errors(kernels, belief, errors, steps, cutoff, seed), cutoff)


def error_draws(
    kernels: TangentKernels,
    belief: Belief,
    n: int,
    seed: int = 0,
    waves: WaveProducts | None = None,
) -> torch.Tensor:
    """Right-hand sides, shape (n, n_parameters), whose solutions are errors as they are held to be likely.

    Of an image t, drawn from what is held before, and its data with noise e the most probable change is off by
    (K^T K + v / s)^-1 (K^T e - t v / s). To solve for this difference takes fewer products than for the change
    itself, which is far larger, where the preconditioner is good or many are solved for at once.
    """
    noise, truths = _noise_draws(kernels, belief, n, seed), prior_draws(kernels, belief, n, seed)
    return kernels.adjoint_all(noise, waves) - belief.ratio * truths


@single_threaded_blas()
def fitted_errors(
    kernels: TangentKernels,
    belief: Belief,
    errors: torch.Tensor,
    steps: Sequence[int],
    cutoff: float | None = None,
    seed: int = 0,
    report: Report | None = None,
    waves: WaveProducts | None = None,
) -> torch.Tensor:
    """Errors after some steps of least squares from the most probable images on, shape (n, n_parameters).

    From there on and not from the start of the run, because its other frequencies had told the rest before.

    Args:
        kernels: At the point in question.
        belief: Variances of noise and image.
        errors: Of the most probable images, as `error_draws` makes them with the same seed, shape (n, n_parameters).
        steps: Of conjugate gradients in each update, preconditioned as those of the run, see `GaussNewton`.
        cutoff: Of the run's preconditioner [rad/m]; None for none.
        seed: Of the draws.
        report: Told after each step how far it has come, 0 to 1.
        waves: What to take for the waves' Jacobian in steps, which hold no detail beyond the cutoff's edge.
    """
    if not steps:
        return errors
    form, n, count = kernels.point.objective.parameterization, len(errors), 0
    left = kernels.adjoint_all(_noise_draws(kernels, belief, n, seed) - kernels.apply_all(errors))
    for n_inner in steps:
        direction, before = torch.zeros_like(left), torch.ones(n, dtype=torch.float64)
        for _ in range(n_inner):
            shaped = torch.stack([form.precondition(one, cutoff or math.inf) for one in left])
            power = (left * shaped).sum(dim=1)
            direction = shaped + (power / before.clamp(min=1e-300))[:, None] * direction
            product = kernels.adjoint_all(kernels.apply_all(direction, waves), waves)
            length = (power / (direction * product).sum(dim=1).clamp(min=1e-300))[:, None]
            errors, left, before, count = (
                errors + length * direction,
                left - length * product,
                power,
                count + 1,
            )
            if report is not None:
                report(count / sum(steps))
    return errors


def _noise_draws(kernels: TangentKernels, belief: Belief, n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + 1)  # independent of images drawn with the same seed
    return math.sqrt(belief.noise) * _normal(n, kernels.n_data, generator)


def prior_draws(kernels: TangentKernels, belief: Belief, n: int, seed: int = 0) -> torch.Tensor:
    """Parameters of images as they are held to be likely before any data, shape (n, n_parameters)."""
    generator = torch.Generator().manual_seed(seed)
    return math.sqrt(belief.scale) * _normal(n, kernels.n_parameters, generator)


def looking(kernels: TangentKernels, cutoff: float | None = None) -> Look:
    """Images of parameters, (n, n_parameters) to (n, *image.shape), without detail beyond a wavenumber [rad/m]."""

    def look(parameters: torch.Tensor) -> torch.Tensor:
        images = [kernels.image_of(one) for one in parameters]
        spacing = kernels.image.spacing
        return torch.stack(images if cutoff is None else [low_pass(i, spacing, cutoff) for i in images])

    return look


def deviation_map(kernels: TangentKernels, errors: torch.Tensor, cutoff: float | None = None) -> torch.Tensor:
    """Map of the standard deviation from errors that were drawn, shape (draw, n_parameters) [m/s]."""
    region, spacing = kernels.region, kernels.image.spacing
    total = looking(kernels, cutoff)(errors).square().sum(dim=0)
    length, radius = 2 * math.pi / wavenumber(kernels), spacing * math.sqrt(float(region.sum()) / math.pi)
    reach = max(0.25 * length, min(length, radius / 20))
    variance = _smooth(total / len(errors), region, spacing, reach)
    return torch.where(region, sound_speed(kernels) * variance.sqrt(), torch.nan)


@torch.no_grad()
def sound_speed(kernels: TangentKernels) -> torch.Tensor:
    """The image at the kernels' point, whatever the parameterization was loaded with since [m/s]."""
    objective = kernels.point.objective
    named = objective.named(kernels.point.parameters)
    medium = functional_call(objective.parameterization, named, (kernels.image,))
    return medium.sound_speed.cpu().double()


def errors_of(
    diagnosis: Diagnosis, truth: Medium, inside: torch.Tensor, share: float = VISIBLE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Actual errors of an image and the deviations announced for them, without detail that the waves cannot see.

    Args:
        diagnosis: With a map of the standard deviation.
        truth: The medium that made the data.
        inside: Cells of the truth that count, boolean of its shape.
        share: Of the diffraction limit, beyond which detail is left out of the errors.

    Returns:
        Errors and deviations in the diagnosis' cells that count and have a deviation, shape (cell,) each [m/s].

    Raises:
        ValueError: If the deviation was not mapped.
    """
    deviation = diagnosis.standard_deviation
    if deviation is None:
        raise ValueError("the diagnosis holds no standard deviation")
    grid = diagnosis.grid
    error = diagnosis.sound_speed.double() - truth.resampled(grid).sound_speed.double()
    error = low_pass(error * diagnosis.region, grid.spacing, share * diagnosis.image_kernel.diffraction_limit)
    counts = (
        diagnosis.region & (resample(inside.double(), truth.grid, grid) > 0.5) & torch.isfinite(deviation)
    )
    return error[counts], deviation.double()[counts]


def calibration(
    errors: torch.Tensor,
    deviations: torch.Tensor,
    levels: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99),
) -> Calibration:
    """How often errors lie within the interval that should hold a given share of them.

    Args:
        errors: Estimated minus true values, shape (draw, ...).
        deviations: Announced standard deviations, broadcast against the errors; NaN where there is none.
        levels: Shares.
    """
    ratio = (errors / deviations).abs()
    ratio = ratio[torch.isfinite(ratio)]
    nominal = torch.tensor(levels, dtype=torch.float64)
    within = math.sqrt(2) * torch.special.erfinv(nominal)
    return Calibration(nominal, torch.stack([(ratio <= bound).double().mean() for bound in within]))


def _smooth(values: torch.Tensor, region: torch.Tensor, spacing: float, reach: float) -> torch.Tensor:
    """Average over neighbours inside the region, by a Gaussian of some standard deviation [m]."""
    lattice = tuple(2 * n for n in values.shape)  # so that opposite rims stay apart
    smooth = torch.exp(-0.5 * (reach * lattice_wavenumbers(lattice, spacing)) ** 2)

    def averaged(image: torch.Tensor) -> torch.Tensor:
        spectrum = smooth * torch.fft.rfft2(image * region, s=lattice)
        return torch.fft.irfft2(spectrum, s=lattice)[tuple(slice(n) for n in values.shape)]

    return (averaged(values) / averaged(torch.ones_like(values)).clamp(min=1e-3)).clamp(min=0)


def _normal(n: int, size: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(n, size, generator=generator, dtype=torch.float64)
