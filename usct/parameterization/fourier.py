"""Fourier-feature networks: Gaussian ones, and ones whose kernel is tailored to the instrument."""

import math
from typing import Literal

import torch

from usct.medium import Medium
from usct.parameterization.features import (
    WIDEST,
    FourierFeatures,
    encode,
    gaussian_features,
    tailored_features,
)
from usct.parameterization.network import Weights, in_strips, normal, require_resolved
from usct.parameterization.perceptron import Activation, PerceptronField
from usct.parameterization.spectrum import Tailoring, tailored_spectrum

EDGE = 0.9
"""Highest wavenumber of tailored features as a share of the diffraction limit."""

RATE = 5.0
"""Learning rate as a share of the optimizer's: fits are fastest at 5e-3 to 1e-2, where Adam's usual is 1e-3."""

Kind = Literal["gaussian", "tailored"]


class FourierNetwork(PerceptronField):
    """Fixed Fourier features, a multilayer perceptron without biases, and a mean of its own.

    In the neural-tangent parametrization, weights of unit variance divided by the root of the number of inputs,
    its kernel at first is a function of the features' kernel alone, hence stationary. With an odd activation
    the constant has no part in it: sines and cosines have unit norm together and need no bias.

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        features: "gaussian" for random wavenumbers, or "tailored" for those of a ring.
        highest: Highest wavenumber that any stage will need [rad/m]; half the grid's Nyquist by default.
        width: Of Gaussian features along each axis [rad/m]; a quarter of the highest by default, its most.
        sharpness: Of tailored features' spectrum, 0 to 1.
        reach: Roll-off of tailored features' spectrum, as a share of the diffraction limit.
        n_features: Number of wavenumbers; each makes a cosine and a sine.
        n_hidden: Units of each hidden layer.
        n_layers: Number of hidden layers.
        activation: Between the layers; "tanh" is odd.
        adaptive: Whether amplitudes are tailored anew at each stage.
        scale: Relative change of slowness for an output of one.
        seed: Of the features and the first weights.
        dtype: Of the parameters.

    Raises:
        ValueError: If features reach beyond the grid's Nyquist wavenumber.

    References:
        Tancik et al., NeurIPS 33 (2020) 7537; Jacot et al., NeurIPS 31 (2018) 8571.
    """

    wavenumbers: torch.Tensor
    amplitudes: torch.Tensor
    areas: torch.Tensor

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        features: Kind = "gaussian",
        highest: float | None = None,
        width: float | None = None,
        sharpness: float = 0.5,
        reach: float = 0.35,
        n_features: int = 256,
        n_hidden: int = 64,
        n_layers: int = 2,
        activation: Activation = "tanh",
        adaptive: bool = False,
        scale: float = 0.05,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(start, region, bounds, n_hidden, n_layers, activation, scale, seed, dtype)
        self.features = features
        self.highest = 0.5 * math.pi / self.grid.spacing if highest is None else highest
        self.width = self.highest / WIDEST if width is None else width
        self.sharpness = sharpness
        self.reach = reach
        self.n_features = n_features
        self.adaptive = adaptive
        self.tailored = "stage" if adaptive else "never"
        placed = self._placed()
        for name in ("wavenumbers", "amplitudes", "areas"):
            self.register_buffer(name, getattr(placed, name))
        self._register()

    def use(self, features: FourierFeatures) -> None:
        """Put other features in place of these, as many as there are; the medium stays as it is.

        Raises:
            ValueError: If their number differs, or they reach beyond the grid's Nyquist wavenumber.
        """
        if len(features.wavenumbers) != self.n_features:
            raise ValueError(f"{self.n_features} features are needed, got {len(features.wavenumbers)}")
        require_resolved(self.grid, features.highest)
        self.bake()
        self.wavenumbers.copy_(features.wavenumbers)
        self.amplitudes.copy_(features.amplitudes)
        self.areas.copy_(features.areas)
        self._cache.clear()

    @torch.no_grad()
    def retailor(self, tailoring: Tailoring) -> None:
        """Give the features the amplitudes of a Wiener step, prior / (gain x prior + noise).

        The first layer is divided by what its features gain, so that the image stays and the kernel changes.
        Before anything has been learnt it stays as it is, so that the later layers' kernels follow as well.
        """
        present = FourierFeatures(self.wavenumbers.cpu(), self.amplitudes.cpu(), self.areas.cpu())
        wiener = _wiener(tailoring, present.magnitudes)
        if not bool((wiener > 0).any()):
            return  # the data say nothing that these features could tell
        wanted = present.reshaped(lambda _: wiener).amplitudes.to(self.amplitudes)
        if not self.is_fresh():
            gain = (self.amplitudes / wanted).repeat(2)[:, None].to(self.dtype)
            self.get_parameter("first").mul_(gain)
            self.get_buffer("initial_first").mul_(gain)
        self.amplitudes.copy_(wanted)
        self._cache.clear()

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Standard normal weights."""
        first = normal(generator, (2 * self.n_features, self.n_hidden))
        return {"first": first, **self.draw_layers(generator)}

    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The features, shape (point, 2 feature)."""
        phases = points.to(self.dtype) @ (self.unit * self.wavenumbers.T).to(self.dtype)
        return (encode(phases, self.amplitudes.to(self.dtype)),)

    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,)."""
        return in_strips(lambda f: self.through_layers(f @ weights["first"], weights), *prepared)

    def rates(self) -> dict[str, torch.Tensor]:
        """For Adam, whose steps ignore the size of a gradient: so that amplitudes act squared, as they should."""
        strength = self.amplitudes / self.amplitudes.square().mean().sqrt()
        rates = {name: torch.tensor(RATE) for name in self._names}
        rates["first"] = RATE * strength.repeat(2)[:, None]
        return rates

    def _placed(self) -> FourierFeatures:
        if self.features == "gaussian":
            require_resolved(self.grid, WIDEST * self.width)
            return gaussian_features(self.width, self.n_features, self.seed)
        require_resolved(self.grid, self.highest)
        spectrum = tailored_spectrum(0.5 * self.highest / EDGE, self.sharpness, self.reach, EDGE)
        return tailored_features(spectrum, self.n_features, self.highest)


def _wiener(tailoring: Tailoring, wavenumbers: torch.Tensor) -> torch.Tensor:
    """Prior / (gain x prior + noise), shape of the wavenumbers."""
    prior = tailoring.prior(wavenumbers)
    curvature = tailoring.gain(wavenumbers) * prior + tailoring.noise
    return torch.where(prior > 0, prior / torch.where(prior > 0, curvature, 1.0), 0.0)
