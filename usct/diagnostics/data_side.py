"""What the residuals still hold that the image could learn, and what of it this representation can.

Each datum's noise adds the same to every mode of the wave tangent kernel, but only modes with eigenvalues above
the noise can be told from it. So the residuals fall into a part that can still be learnt, a part that this image
cannot make, and noise.
"""

import math
from dataclasses import dataclass

import torch

from usct.diagnostics.belief import (
    MOST_PRODUCTS,
    N_PROBES,
    SMALL_REST,
    Belief,
    believe,
    most_probable,
    noise_of,
    preconditioned,
    random_signs,
)
from usct.diagnostics.eigen import Eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.inversion.objective import Point
from usct.parameterization.spectrum import RadialSpectrum

ENOUGH = 0.1
"""A run may stop when less than this share of what could be learnt at its start is left."""

WORTH = 0.02
"""Or when what could be learnt is less than this share of the residuals' energy."""


UNHELD = 1e12
"""Variance of an image of which nothing is held before."""


@dataclass(frozen=True)
class ModeEnergy:
    """What the residuals hold of each mode.

    Attributes:
        values: Eigenvalues, shape (mode,).
        coefficients: Amplitudes, shape (mode,).
        share: Of the residuals' energy, shape (mode,) [1].
        rest: Share of the energy outside all these modes [1].
    """

    values: torch.Tensor
    coefficients: torch.Tensor
    share: torch.Tensor
    rest: float


@dataclass(frozen=True)
class FrequencyBias:
    """Mean eigenvalue of the wave tangent kernel over that of pixels, per frequency.

    Attributes:
        frequency: Shape (freq,) [Hz].
        measured: tr J Theta J^T / tr J J^T, shape (freq,).
        expected: Mean of the representation's response over the pairs of a full ring, shape (freq,).
    """

    frequency: torch.Tensor
    measured: torch.Tensor
    expected: torch.Tensor


@dataclass(frozen=True)
class Gain:
    """What can still be learnt from the residuals.

    Attributes:
        energy: Of the residuals [1].
        noise: What noise is expected to hold of it [1].
        recoverable: What the most probable change would take away, less what it takes away of noise alone [1].
        determined: Numbers that the data determine, the trace of K (K^T K + v / s)^-1 K^T [1].
        at_start: The same of the residuals at the start of the run, or None if they are not known [1].
    """

    energy: float
    noise: float
    recoverable: float
    determined: float
    at_start: float | None = None

    @property
    def share(self) -> float:
        """Recoverable share of the residuals' energy [1]."""
        return self.recoverable / self.energy

    @property
    def left(self) -> float | None:
        """What is left of what could be learnt at the start of the run [1]; None if that is not known."""
        if self.at_start is None:
            return None
        return min(1.0, self.recoverable / self.at_start) if self.at_start > 0 else 0.0


@dataclass(frozen=True)
class Suggestion:
    """Whether to go on.

    Attributes:
        stop: Whether further updates of this kind are not worth their time.
        sentence: Why, in plain words.
    """

    stop: bool
    sentence: str


def mode_energy(kernels: TangentKernels, pairs: Eigenpairs) -> ModeEnergy:
    """Split the residuals' energy into modes."""
    residual = kernels.residual()
    coefficients = pairs.data_modes @ residual
    share = coefficients.square() / residual.square().sum()
    return ModeEnergy(pairs.values, coefficients, share, max(0.0, 1 - float(share.sum())))


@single_threaded_blas()
def frequency_bias(
    kernels: TangentKernels, spectrum: RadialSpectrum | None = None, n_probes: int = N_PROBES, seed: int = 0
) -> FrequencyBias:
    """How much more strongly low frequencies act through this representation than through pixels.

    Args:
        kernels: At the point in question.
        spectrum: Of the representation's tangent kernel, as `model_side.transfer` finds it; without it nothing
            is expected (NaN).
        n_probes: Random parameters, and random images.
        seed: Of both.
    """
    objective, generator = kernels.point.objective, torch.Generator().manual_seed(seed)
    pixels = int(kernels.region.sum())
    sums = torch.zeros(2, len(kernels.point.residuals), dtype=torch.float64)
    number = kernels.frequency()
    for _ in range(n_probes):
        image = torch.zeros(kernels.image.shape, dtype=torch.float64)
        image[kernels.region] = random_signs(pixels, generator)
        seen = kernels.apply(random_signs(kernels.n_parameters, generator)), kernels.wave(image)
        for total, data in zip(sums, seen, strict=True):
            total.index_add_(0, number, data.square())
    which = torch.tensor(kernels.frequencies)
    frequencies = objective.observed.frequencies.cpu().double()[which]
    waves = 2 * math.pi * frequencies / objective.models[0].water_sound_speed
    expected = torch.full_like(waves, torch.nan) if spectrum is None else ring_mean(spectrum, waves)
    return FrequencyBias(frequencies, (sums[0] / sums[1])[which], expected)


def ring_mean(spectrum: RadialSpectrum, waves: torch.Tensor, n_angles: int = 2000) -> torch.Tensor:
    """Mean of a spectrum over the object wavenumbers that a full ring samples, 2 k sin t with t up to pi / 2.

    Args:
        spectrum: Of a stationary tangent kernel.
        waves: Wavenumbers k of the waves, shape (freq,) [rad/m].
        n_angles: Of the sum.

    Returns:
        Shape (freq,).
    """
    angles = (torch.arange(n_angles, dtype=torch.float64) + 0.5) / n_angles * (math.pi / 2)
    return spectrum(2 * waves[:, None] * torch.sin(angles)).mean(dim=1)


def recoverable_modes(energy: ModeEnergy, belief: Belief) -> torch.Tensor:
    """What each mode holds that can be told from noise, as the most probable change would take it, shape (mode,).

    Negative where luck has put less into a mode than noise is expected to.
    """
    kept = belief.ratio / (energy.values + belief.ratio)
    return (1 - kept.square()) * (energy.coefficients.square() - belief.noise)


@dataclass(frozen=True)
class GainProbe:
    """Data whose most probable changes tell what there is to learn.

    Attributes:
        data: Noise alone, the residuals, and those at the start of the run if they are known, shape (n, n_data).
        belief: Variances of noise and image.
    """

    data: torch.Tensor
    belief: Belief

    @classmethod
    def of(
        cls, kernels: TangentKernels, belief: Belief, start: torch.Tensor | None = None, seed: int = 0
    ) -> "GainProbe":
        """For a point and the residuals at the start of the run, shape (n_data,)."""
        generator = torch.Generator().manual_seed(seed)
        noise = belief.noise**0.5 * torch.randn(kernels.n_data, generator=generator, dtype=torch.float64)
        residual = kernels.residual()
        return cls(torch.stack([noise, residual] if start is None else [noise, residual, start]), belief)

    def gain(self, explained: torch.Tensor) -> Gain:
        """From what the most probable changes explain of the data, shape (n, n_data)."""
        taken = (self.data.square() - (self.data - explained).square()).sum(dim=1)
        of_noise, now, *before = taken.tolist()
        return Gain(
            float(self.data[1].square().sum()),
            self.data.shape[1] * self.belief.noise,
            max(0.0, now - of_noise),
            # Noise is alike in all directions, so its part along what it explains is a random estimate of the trace.
            max(0.0, float(torch.dot(self.data[0], explained[0])) / self.belief.noise),
            max(0.0, before[0] - of_noise) if before else None,
        )


def remaining_gain(
    kernels: TangentKernels,
    belief: Belief,
    start: torch.Tensor | None = None,
    seed: int = 0,
    rest: float = SMALL_REST,
    most: int = MOST_PRODUCTS,
) -> Gain:
    """How much of the residuals the image could still explain.

    The most probable change is found for the residuals, and for noise alone, which the same change would fit in
    part as well; the difference of what the two take away is what there is to learn. No modes are needed: of a
    breast at 300 kHz the first fifty are less than a hundredth.

    Args:
        kernels: At the point in question.
        belief: Variances of noise and image.
        start: Residuals at the start of the run, shape (n_data,).
        seed: Of the noise.
        rest: Accuracy of the most probable changes, see `most_probable`.
        most: Products with K^T K at most.
    """
    probe = GainProbe.of(kernels, belief, start, seed)
    return probe.gain(kernels.apply_all(most_probable(kernels, probe.data, belief, rest, most)))


def stop_suggestion(gain: Gain, enough: float = ENOUGH, worth: float = WORTH) -> Suggestion:
    """Whether further updates are worth their time.

    Args:
        gain: From `remaining_gain`.
        enough: Stop when less than this share of what could be learnt at the start is left.
        worth: Stop when less than this share of the residuals' energy could be learnt.
    """
    share, left = gain.share, gain.left
    known = share if left is None else left
    what = (
        f"{_percent(share)} of what the data still differ by can be learnt"
        if left is None
        else f"{_percent(1 - left)} of the recoverable residual is gone"
    )
    if share < worth or known < enough and left is not None:
        return Suggestion(True, f"Stop here: {what}; nearly all that is left is noise or beyond this image.")
    return Suggestion(
        False, f"Go on: {what}; further updates at these frequencies can still improve the image."
    )


def nothing_left(point: Point, image: Grid) -> bool:
    """Whether a run may leave the data of a point: what one more update could learn is next to nothing.

    Told by the first step of such an update, for the residuals and for noise alone: three products with the waves'
    Jacobian, where an update takes ten and a solution of the wave equation. Without a preconditioner a first step tells
    too little; then it is two steps and seven products.
    """
    kernels, tailored = TangentKernels(point, image), point.damping > 0
    # So few steps regularise by themselves where nothing is held of the image.
    belief = believe(kernels) if tailored else Belief(noise_of(kernels), UNHELD)
    probe = GainProbe.of(kernels, belief)
    right = torch.stack([kernels.adjoint(probe.data[0]), point.gradient.cpu().double()])
    return stop_suggestion(probe.gain(_explained(kernels, right, belief.ratio, 1 if tailored else 2))).stop


def _explained(kernels: TangentKernels, right: torch.Tensor, ratio: float, n_steps: int) -> torch.Tensor:
    """What a few steps towards the most probable changes explain of the data, shape (n, n_data).

    Args:
        kernels: At the point in question.
        right: K^T of the data, shape (n, n_parameters).
        ratio: Of the variances of noise and image.
        n_steps: Of conjugate gradients, without the product after the last that would only tell what is left.
    """
    left, total = right, torch.zeros(len(right), kernels.n_data, dtype=torch.float64)
    direction, before = torch.zeros_like(right), torch.ones(len(right), dtype=torch.float64)
    for step in range(n_steps):
        shaped = preconditioned(kernels, left)
        power = (left * shaped).sum(dim=1)
        direction = shaped + (power / before.clamp(min=1e-300))[:, None] * direction
        images = kernels.apply_all(direction)
        curvature = images.square().sum(dim=1) + ratio * direction.square().sum(dim=1)
        length = (power / curvature.clamp(min=1e-300))[:, None]
        total = total + length * images
        if step + 1 < n_steps:
            left = left - length * (kernels.adjoint_all(images) + ratio * direction)
            before = power
    return total


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
