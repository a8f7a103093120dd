"""Grid features and sines side by side, fused by a small perceptron."""

import math

import torch

from usct.medium import Medium
from usct.parameterization.multigrid import TABLE_RATE, Interpolation, Levels, spacings
from usct.parameterization.network import Weights, in_strips, normal
from usct.parameterization.perceptron import Activation, PerceptronField
from usct.parameterization.siren import Sines

SINE_RATE = 0.3
FUSION_RATE = 1.0
"""Learning rates of sines and of the fusion as shares of the optimizer's."""


class Hybrid(PerceptronField):
    """[root(share) grid features; root(1 - share) sine network] into a perceptron, and a mean of its own.

    The sines bring smooth shape and robustness, the grids detail and speed. Both branches enter with unit power,
    so that neither drowns the other, and each learns at a rate of its own.

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        share: Of the grids in the power of the features, 0 to 1.
        coarsest: Spacing of the first grid [m]; a thirteenth of the image by default.
        finest: Spacing of the last grid [m]; two and a half of the image's cells by default.
        n_levels: Number of grids.
        n_columns: Features of each grid.
        interpolation: "linear", or "smooth" for one whose derivative is continuous.
        table_size: Most rows of a grid's table; what has more nodes shares them by a hash.
        w0: Factor of all sines' arguments [1].
        rescaled: Whether the first sines' factor follows from `wavenumber`, instead of being w0.
        wavenumber: Root mean square of the first sines' wavenumbers, if rescaled [rad/m]; a quarter of the
            grid's Nyquist by default.
        n_sines: Units of each layer of sines.
        n_sine_layers: Number of layers of sines.
        n_hidden: Units of each hidden layer of the fusion.
        n_layers: Number of its hidden layers.
        activation: Between them.
        scale: Relative change of slowness for an output of one.
        seed: Of the first weights.
        dtype: Of the parameters.

    Raises:
        ValueError: If a setting lies outside its range.
    """

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        share: float = 0.5,
        coarsest: float | None = None,
        finest: float | None = None,
        n_levels: int = 8,
        n_columns: int = 2,
        interpolation: Interpolation = "linear",
        table_size: int = 2**19,
        w0: float = 30.0,
        rescaled: bool = False,
        wavenumber: float | None = None,
        n_sines: int = 64,
        n_sine_layers: int = 2,
        n_hidden: int = 64,
        n_layers: int = 2,
        activation: Activation = "tanh",
        scale: float = 0.05,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(start, region, bounds, n_hidden, n_layers, activation, scale, seed, dtype)
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share:g}")
        self.share = share
        self.coarsest, self.finest = spacings(self, coarsest, finest)
        self.n_levels = n_levels
        self.n_columns = n_columns
        self.interpolation = interpolation
        self.table_size = table_size
        ends = (self.coarsest / self.unit, self.finest / self.unit)
        self.levels = Levels(*ends, n_levels, n_columns, interpolation, table_size)
        self.sines = Sines(self, w0, rescaled, wavenumber, n_sines, n_sine_layers)
        self.w0 = w0
        self.rescaled = rescaled
        self.wavenumber = self.sines.wavenumber
        self.n_sines = n_sines
        self.n_sine_layers = n_sine_layers
        self._register()

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Normal grids and perceptron, Sitzmann's sines."""
        return {
            "table": self.levels.draw(generator),
            **self.sines.draw(generator),
            "from_grids": normal(generator, (self.levels.n_features, self.n_hidden)),
            "from_sines": normal(generator, (self.n_sines, self.n_hidden)),
            **self.draw_layers(generator),
        }

    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The points, as they are for the grids and of the parameters' type for the sines."""
        return (points, points.to(self.dtype))

    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,)."""
        points, narrow = prepared
        from_grids = math.sqrt(self.share) * self.levels.gain * weights["from_grids"]
        # Sines have a mean square of one half.
        from_sines = math.sqrt(2 * (1 - self.share) / self.n_sines) * weights["from_sines"]

        def fused(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
            hidden = torch.addmm(self.sines.at(points, weights) @ from_sines, features, from_grids)
            return self.through_layers(hidden, weights)

        return in_strips(fused, self.levels.at(weights["table"], points), narrow)

    def rates(self) -> dict[str, torch.Tensor]:
        """One rate for the grids, one for the sines, one for the fusion."""
        rates = {name: torch.tensor(FUSION_RATE) for name in self._names}
        rates["table"] = torch.tensor(TABLE_RATE)
        for name in self._names:
            if name.startswith(("sine", "offset")):
                rates[name] = torch.tensor(SINE_RATE)
        return rates
