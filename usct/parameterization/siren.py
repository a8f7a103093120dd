"""Sinusoidal representation networks, as published and rescaled to the field of view."""

import math

import torch

from usct.medium import Medium
from usct.parameterization.field import PointField
from usct.parameterization.network import NetworkField, Weights, in_strips, require_resolved

RMS_SHARE = math.sqrt(1 / 6)
"""Root mean square wavenumber of a first layer with uniform weights in -1/2 to 1/2, for w0 = 1 [rad/unit]."""

RATE = 0.3
"""Learning rate as a share of the optimizer's: 3e-4 for Adam's usual 1e-3; 1e-4, as published, fits slower."""

FITTED_LAYERS = 2
"""Hidden layers that suit a first layer fitted to the field of view, where those as published are four.

Depth adds harmonics of the first layer's wavenumbers. Once these span what the waves can see, more layers cost time
and slow down the fit: with the same budget, four end 2 to 6 m/s further from the truth of breast phantoms.
"""


class Sines:
    """Layers of sines between a point and a readout, their first factor w0 or fitted to the field of view.

    Args:
        field: Whose image grid bounds the wavenumbers.
        w0: Factor of all layers' arguments [1].
        rescaled: Whether the first layer's factor follows from `wavenumber`, instead of being w0.
        wavenumber: Root mean square of the first layer's wavenumbers, if rescaled [rad/m]; a quarter of the
            grid's Nyquist by default.
        n_units: Of each layer.
        n_layers: Number of layers.

    Raises:
        ValueError: If a number is not positive, or the wavenumber lies beyond the grid's Nyquist.
    """

    def __init__(
        self,
        field: PointField,
        w0: float,
        rescaled: bool,
        wavenumber: float | None,
        n_units: int,
        n_layers: int,
    ) -> None:
        if not (w0 > 0 and n_units > 0 and n_layers > 0):
            raise ValueError(
                f"w0, units and layers of sines must be positive, got {w0:g}, {n_units} and {n_layers}"
            )
        self.wavenumber = 0.25 * math.pi / field.grid.spacing if wavenumber is None else wavenumber
        if rescaled:
            require_resolved(field.grid, self.wavenumber)
        first = self.wavenumber * field.unit / RMS_SHARE if rescaled else w0
        self.factors = (first, *[w0] * (n_layers - 1))
        self.w0 = w0
        self.n_units = n_units

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """First weights and biases, by name."""
        weights, inputs = {}, 2
        for n in range(len(self.factors)):
            reach = math.sqrt(6 / inputs) / self.w0 if n else 1 / inputs
            weights[f"sine{n}"] = _uniform(generator, (inputs, self.n_units), reach)
            weights[f"offset{n}"] = _uniform(generator, (self.n_units,), inputs**-0.5)
            inputs = self.n_units
        return weights

    def at(self, points: torch.Tensor, weights: Weights) -> torch.Tensor:
        """What the last layer makes of points, shape (point, unit)."""
        for n, factor in enumerate(self.factors):
            # The factor goes to the small matrices: scaling the activations would cost a pass over memory.
            arguments = torch.addmm(factor * weights[f"offset{n}"], points, factor * weights[f"sine{n}"])
            points = torch.sin(arguments)
        return points


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
        self.sines = Sines(self, w0, rescaled, wavenumber, n_hidden, n_layers)
        self.w0 = w0
        self.rescaled = rescaled
        self.wavenumber = self.sines.wavenumber
        self.n_hidden = n_hidden
        self.n_layers = n_layers
        self._register()

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Sitzmann's weights, which keep the spread of every layer's arguments the same."""
        return self.sines.draw(generator) | {
            "readout": _uniform(generator, (self.n_hidden, 1), math.sqrt(6 / self.n_hidden) / self.w0)
        }

    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The points."""
        return (points.to(self.dtype),)

    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,)."""
        return in_strips(lambda p: self.sines.at(p, weights) @ weights["readout"], *prepared)[:, 0]

    def rates(self) -> dict[str, torch.Tensor]:
        """The same for all layers."""
        return {name: torch.tensor(RATE) for name in self._names}


def _uniform(generator: torch.Generator, shape: tuple[int, ...], reach: float) -> torch.Tensor:
    return reach * (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1)
