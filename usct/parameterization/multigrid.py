"""Multi-resolution grids of trainable features with a small decoder."""

import math
import warnings
from typing import Any, Literal

import torch

from usct.medium import Medium
from usct.parameterization.features import PointCache
from usct.parameterization.field import PointField
from usct.parameterization.network import CACHE_BYTES, Weights, in_strips, normal
from usct.parameterization.perceptron import Activation, PerceptronField

GRID_SPREAD = 0.1
"""Standard deviation of the grids' first values; with the usual 1e-4 the constant holds 99.8 % of the kernel."""

INTERPOLATED = 2 / 3
"""What is left of the spread of independent values after linear interpolation in two dimensions, in the mean."""

HASH_FACTOR = 2_654_435_761
"""Large prime of the spatial hash (Mueller et al. 2022)."""

TABLE_RATE = 10.0
DECODER_RATE = 1.0
"""Learning rates of grids and decoder as shares of the optimizer's; of 3 to 100 for the grids, 10 fits fastest."""

Interpolation = Literal["linear", "smooth"]


class Levels:
    """Grids over the square -1 to 1, from coarse to fine, and interpolation between their nodes.

    Nodes of all levels are rows of one table. A level with more nodes than `table_size` shares rows by a hash.

    Args:
        coarsest: Spacing of the first level [1].
        finest: Spacing of the last level [1].
        n_levels: Number of levels, their spacings in geometric progression.
        n_columns: Features of each level.
        interpolation: "linear", or "smooth" for one whose derivative is continuous.
        table_size: Most rows of a level.

    References:
        Mueller et al., ACM Trans. Graph. 41 (2022) 102.
    """

    def __init__(
        self,
        coarsest: float,
        finest: float,
        n_levels: int,
        n_columns: int,
        interpolation: Interpolation,
        table_size: int,
    ) -> None:
        if not (0 < finest <= coarsest and n_levels > 0 and table_size > 3):
            raise ValueError(
                f"levels need 0 < finest <= coarsest and room for rows, got {finest:g}, {coarsest:g}, "
                f"{n_levels} levels and {table_size} rows"
            )
        ratio = (finest / coarsest) ** (1 / max(1, n_levels - 1))
        self.sides = [math.ceil(2 / (coarsest * ratio**n) - 1e-9) + 1 for n in range(n_levels)]
        self.rows = [min(side**2, table_size) for side in self.sides]
        self.n_columns = n_columns
        self.interpolation = interpolation
        self._cache = PointCache(CACHE_BYTES)

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return sum(self.rows)

    @property
    def n_features(self) -> int:
        """Features of a point."""
        return len(self.sides) * self.n_columns

    @property
    def gain(self) -> float:
        """Factor that gives the features of a point, together, a mean square of one at first.

        A constant, not what is measured, so that the medium does not depend on the grid it is on.
        """
        return self.n_features**-0.5 / (GRID_SPREAD * INTERPOLATED)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """A table of normal values, shape (row, column)."""
        return GRID_SPREAD * normal(generator, (self.n_rows, self.n_columns))

    def at(self, table: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Interpolated features, shape (point, level x column), of a table of shape (row, column)."""
        features: torch.Tensor = _Product.apply(table, points, self, False)
        return features.reshape(len(points), self.n_features)

    def matrix(self, points: torch.Tensor, dtype: torch.dtype, transposed: bool) -> torch.Tensor:
        """Sparse map from the table's rows to each point's levels, shape (point x level, row), or its transpose."""
        starts, columns, kept = self._cache.get(points, lambda at: self._parts(at, dtype))[3 * transposed :][
            :3
        ]
        shape = (len(points) * len(self.sides), self.n_rows)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            size = shape[::-1] if transposed else shape
            return torch.sparse_csr_tensor(starts, columns, kept.to(dtype), size, check_invariants=False)

    def _parts(self, points: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        """The matrix and its transpose in compressed rows: starts, columns and values of each."""
        taps = [self._taps(points, level) for level in range(len(self.sides))]
        columns = torch.stack([c for c, _ in taps], dim=1).reshape(-1)
        values = torch.stack([v for _, v in taps], dim=1).reshape(-1).to(dtype)
        starts = torch.arange(0, len(columns) + 1, 4, device=points.device)
        order = columns.argsort(stable=True)
        turned = torch.zeros(self.n_rows + 1, dtype=torch.int64, device=points.device)
        turned[1:] = torch.bincount(columns, minlength=self.n_rows).cumsum(0)
        return starts, columns, values, turned, order // 4, values[order]

    def _taps(self, points: torch.Tensor, level: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows about each point on a level, and their weights, shape (point, 4)."""
        side = self.sides[level]
        position = (points.double().clamp(-1, 1) + 1) * (0.5 * (side - 1))
        corner = position.floor().clamp(0, side - 2)
        share = position - corner
        if self.interpolation == "smooth":
            share = share.square() * (3 - 2 * share)
        shares = torch.stack([1 - share, share], dim=1)
        weights = shares[:, :, None, 0] * shares[:, None, :, 1]
        step = torch.arange(2, device=points.device)
        y = corner[:, 0].long()[:, None, None] + step[:, None]
        x = corner[:, 1].long()[:, None, None] + step
        rows = y * side + x if side**2 <= self.rows[level] else (y ^ (x * HASH_FACTOR)) % self.rows[level]
        return (sum(self.rows[:level]) + rows).reshape(-1, 4), weights.reshape(-1, 4)


def spacings(field: PointField, coarsest: float | None, finest: float | None) -> tuple[float, float]:
    """Those asked for [m], or else a thirteenth of a field's image and two and a half of its cells."""
    first = 2 * field.unit / 13 if coarsest is None else coarsest
    return first, min(2.5 * field.grid.spacing, first) if finest is None else finest


class _Product(torch.autograd.Function):
    """Product with the interpolation matrix or its transpose; each is the other's derivative, to any order.

    Five times faster than gathering rows and adding them up. The matrix is looked up inside, where function
    transforms have taken their wrappers off.
    """

    @staticmethod
    def forward(values: torch.Tensor, points: torch.Tensor, levels: Levels, transposed: bool) -> torch.Tensor:
        return levels.matrix(points, values.dtype, transposed) @ values

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:  # noqa: ARG004 # protocol
        ctx.save_for_backward(inputs[1])
        ctx.levels, ctx.transposed, ctx.n_rows = inputs[2], inputs[3], len(inputs[0])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (points,) = ctx.saved_tensors
        return _Product.apply(gradients[0], points, ctx.levels, not ctx.transposed), None, None, None


class MultiGrid(PerceptronField):
    """Features interpolated from grids of many resolutions, a multilayer perceptron, and a mean of its own.

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        coarsest: Spacing of the first grid, about a first Fresnel zone [m]; a thirteenth of the image by default.
        finest: Spacing of the last grid, about half the shortest wavelength [m]; two and a half of the image's
            cells by default.
        n_levels: Number of grids.
        n_columns: Features of each grid.
        interpolation: "linear", or "smooth" for one whose derivative is continuous.
        table_size: Most rows of a grid's table; what has more nodes shares them by a hash.
        n_hidden: Units of each hidden layer of the decoder.
        n_layers: Number of its hidden layers.
        activation: Between them.
        scale: Relative change of slowness for an output of one.
        seed: Of the first weights.
        dtype: Of the parameters.

    Raises:
        ValueError: If spacings or sizes are not positive, or the finest grid is the coarser one.

    References:
        Mueller et al., ACM Trans. Graph. 41 (2022) 102; Audia et al., ICLR 2025 (arXiv 2504.13412).
    """

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        coarsest: float | None = None,
        finest: float | None = None,
        n_levels: int = 8,
        n_columns: int = 2,
        interpolation: Interpolation = "linear",
        table_size: int = 2**19,
        n_hidden: int = 64,
        n_layers: int = 2,
        activation: Activation = "tanh",
        scale: float = 0.05,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(start, region, bounds, n_hidden, n_layers, activation, scale, seed, dtype)
        self.coarsest, self.finest = spacings(self, coarsest, finest)
        self.n_levels = n_levels
        self.n_columns = n_columns
        self.interpolation = interpolation
        self.table_size = table_size
        ends = (self.coarsest / self.unit, self.finest / self.unit)
        self.levels = Levels(*ends, n_levels, n_columns, interpolation, table_size)
        self._register()

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Standard normal weights, and grids of normal values."""
        return {
            "table": self.levels.draw(generator),
            "first": normal(generator, (self.levels.n_features, self.n_hidden)),
            **self.draw_layers(generator),
        }

    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The points."""
        return (points,)

    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,)."""
        features = self.levels.at(weights["table"], prepared[0])
        first = self.levels.gain * weights["first"]
        return in_strips(lambda f: self.through_layers(f @ first, weights), features)

    def rates(self) -> dict[str, torch.Tensor]:
        """The grids' are much larger than the decoder's, since few points move each of their values."""
        return {name: torch.tensor(TABLE_RATE if name == "table" else DECODER_RATE) for name in self._names}
