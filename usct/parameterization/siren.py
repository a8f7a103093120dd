"""Sinusoidal representation networks, as published and rescaled to the field of view."""

import math

import torch

from usct.medium import Medium
from usct.parameterization.network import NetworkField, Weights, in_strips, require_resolved

RMS_SHARE = math.sqrt(1 / 6)
"""Root mean square wavenumber of a first layer with uniform weights in -1/2 to 1/2, for w0 = 1 [rad/unit]."""

RATE = 0.3
"""Learning rate as a share of the optimizer's: 3e-4 for Adam's usual 1e-3; 1e-4, as published, fits slower."""


class Siren(NetworkField):
    """Sines of sines with Sitzmann's first weights; the last layer has no bias, for the mean has its own.

    w0 = 30 suits images a few wavelengths wide. A ring spans up to a hundred and more, on which that is an
    extreme low-pass; rescaled, the first layer's wavenumbers get the root mean square that is asked for.

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        w0: Factor of all layers' arguments [1].
        rescaled: Whether the first layer's factor follows from `wavenumber`, instead of being w0.
        wavenumber: Root mean square of the first layer's wavenumbers, if rescaled [rad/m]; a quarter of the
            grid's Nyquist by default.
        n_hidden: Units of each hidden layer.
        n_layers: Number of hidden layers.
        scale: Relative change of slowness for an output of one.
        seed: Of the first weights.
        dtype: Of the parameters.

    Raises:
        ValueError: If the wavenumber lies beyond the grid's Nyquist.

    References:
        Sitzmann et al., NeurIPS 33 (2020) 7462; for waveform inversion: Sun et al., J. Geophys. Res. Solid Earth
        128 (2023) e2022JB025964.
    """

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        w0: float = 30.0,
        rescaled: bool = False,
        wavenumber: float | None = None,
        n_hidden: int = 128,
        n_layers: int = 4,
        scale: float = 0.05,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(start, region, bounds, scale, seed, dtype)
        if not (w0 > 0 and n_hidden > 0 and n_layers > 0):
            raise ValueError(f"w0, units and layers must be positive, got {w0:g}, {n_hidden} and {n_layers}")
        self.w0 = w0
        self.rescaled = rescaled
        self.wavenumber = 0.25 * math.pi / self.grid.spacing if wavenumber is None else wavenumber
        self.n_hidden = n_hidden
        self.n_layers = n_layers
        if rescaled:
            require_resolved(self.grid, self.wavenumber)
        self._register()

    @property
    def first_factor(self) -> float:
        """Factor of the first layer's arguments [1]."""
        return self.wavenumber * self.unit / RMS_SHARE if self.rescaled else self.w0

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Sitzmann's weights, which keep the spread of every layer's arguments the same."""
        return siren_weights(generator, (2, *[self.n_hidden] * self.n_layers), self.w0) | {
            "readout": _uniform(generator, (self.n_hidden, 1), math.sqrt(6 / self.n_hidden) / self.w0)
        }

    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The points."""
        return (points.to(self.dtype),)

    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,)."""
        factors = (self.first_factor, *[self.w0] * (self.n_layers - 1))
        outputs = in_strips(lambda p: siren_layers(p, weights, factors) @ weights["readout"], *prepared)
        return outputs[:, 0]

    def rates(self) -> dict[str, torch.Tensor]:
        """The same for all layers."""
        return {name: torch.tensor(RATE) for name in self._names}


def siren_weights(generator: torch.Generator, widths: tuple[int, ...], w0: float) -> dict[str, torch.Tensor]:
    """First weights and biases of sine layers between widths, by name."""
    weights = {}
    for n, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        reach = math.sqrt(6 / inputs) / w0 if n else 1 / inputs
        weights[f"sine{n}"] = _uniform(generator, (inputs, outputs), reach)
        weights[f"offset{n}"] = _uniform(generator, (outputs,), inputs**-0.5)
    return weights


def siren_layers(values: torch.Tensor, weights: Weights, factors: tuple[float, ...]) -> torch.Tensor:
    """Apply sine layers with factors, shape (point, unit)."""
    for n, factor in enumerate(factors):
        # The factor goes to the small matrices: scaling the activations would cost a pass over memory.
        values = torch.sin(torch.addmm(factor * weights[f"offset{n}"], values, factor * weights[f"sine{n}"]))
    return values


def _uniform(generator: torch.Generator, shape: tuple[int, ...], reach: float) -> torch.Tensor:
    return reach * (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1)
