"""Grid features and sines side by side, fused by a small perceptron."""

import math

import torch

from usct.medium import Medium
from usct.parameterization.multigrid import (
    GRID_SPREAD,
    INTERPOLATED,
    TABLE_RATE,
    Interpolation,
    Levels,
)
from usct.parameterization.network import (
    Activation,
    NetworkField,
    Weights,
    in_strips,
    normal,
    perceptron,
    perceptron_weights,
    require_resolved,
)
from usct.parameterization.siren import RMS_SHARE, siren_layers, siren_weights

SINE_RATE = 0.3
FUSION_RATE = 1.0
"""Learning rates of sines and of the fusion as shares of the optimizer's."""


class Hybrid(NetworkField):
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
        super().__init__(start, region, bounds, scale, seed, dtype)
        if not (0 < share < 1 and w0 > 0 and n_sines > 0 and n_sine_layers > 0):
            raise ValueError(
                f"share must lie between 0 and 1, w0 and the numbers of sines above 0; "
                f"got {share:g}, {w0:g}, {n_sines} and {n_sine_layers}"
            )
        self.share = share
        self.coarsest = 2 * self.unit / 13 if coarsest is None else coarsest
        self.finest = min(2.5 * self.grid.spacing, self.coarsest) if finest is None else finest
        self.n_levels = n_levels
        self.n_columns = n_columns
        self.interpolation = interpolation
        self.table_size = table_size
        self.w0 = w0
        self.rescaled = rescaled
        self.wavenumber = 0.25 * math.pi / self.grid.spacing if wavenumber is None else wavenumber
        self.n_sines = n_sines
        self.n_sine_layers = n_sine_layers
        self.n_hidden = n_hidden
        self.n_layers = n_layers
        self.activation = activation
        if rescaled:
            require_resolved(self.grid, self.wavenumber)
        self.levels = Levels(
            self.coarsest / self.unit, self.finest / self.unit, n_levels, interpolation, table_size
        )
        self._register()

    @property
    def first_factor(self) -> float:
        """Factor of the first sines' arguments [1]."""
        return self.wavenumber * self.unit / RMS_SHARE if self.rescaled else self.w0

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Normal grids and perceptron, Sitzmann's sines."""
        widths = (2, *[self.n_sines] * self.n_sine_layers)
        return {
            "table": GRID_SPREAD * normal(generator, (self.levels.n_rows, self.n_columns)),
            **siren_weights(generator, widths, self.w0),
            "from_grids": normal(generator, (self.n_levels * self.n_columns, self.n_hidden)),
            "from_sines": normal(generator, (self.n_sines, self.n_hidden)),
            **perceptron_weights(generator, self.n_hidden, self.n_layers),
        }

    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The points, as they are for the grids and of the parameters' type for the sines."""
        return (points, points.to(self.dtype))

    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,)."""
        points, narrow = prepared
        factors = (self.first_factor, *[self.w0] * (self.n_sine_layers - 1))
        # Sines have a mean square of one half, interpolated values that of their grid times the interpolation's.
        # Scaled by these constants, not by what is measured, the medium does not depend on the grid it is on.
        grid_gain = math.sqrt(self.share / (self.n_levels * self.n_columns)) / (GRID_SPREAD * INTERPOLATED)
        sine_gain = math.sqrt(2 * (1 - self.share) / self.n_sines)
        from_grids, from_sines = grid_gain * weights["from_grids"], sine_gain * weights["from_sines"]

        def fused(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
            sines = siren_layers(points, weights, factors)
            hidden = torch.addmm(sines @ from_sines, features, from_grids)
            return perceptron(hidden, weights, self.activation)

        return in_strips(fused, self.levels.at(weights["table"], points), narrow)

    def rates(self) -> dict[str, torch.Tensor]:
        """One rate for the grids, one for the sines, one for the fusion."""
        rates = {name: torch.tensor(FUSION_RATE) for name in self._names}
        rates["table"] = torch.tensor(TABLE_RATE)
        for name in self._names:
            if name.startswith(("sine", "offset")):
                rates[name] = torch.tensor(SINE_RATE)
        return rates
