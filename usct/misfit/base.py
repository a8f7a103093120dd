"""What every misfit promises: a difference between data, its weighted square, and its derivative."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Residual(ABC):
    """What a prediction is off by, and how that changes with the prediction.

    The objective is half the weighted sum of squares of `difference`, so that Gauss-Newton products exist for every
    misfit. Where a misfit is no analytic function of the data, maps are linear over the real numbers alone, and
    `adjoint` is the adjoint in the real part of the inner product.

    Attributes:
        value: Half the weighted sum of squares, relative to the data's own [1].
        difference: What is squared, shape (..., tx, rx).
        weights: Weights over the data's energy, shape (tx, rx).
        source: Weight of each transmit, shape (tx, 1).
        receive: Weight of each receive, shape (1, rx) or (tx, rx).
        predicted: Prediction for unit sources, times the receives' weights, shape (..., tx, rx).
    """

    value: float
    difference: torch.Tensor
    weights: torch.Tensor
    source: torch.Tensor
    receive: torch.Tensor
    predicted: torch.Tensor

    @abstractmethod
    def apply(self, change: torch.Tensor) -> torch.Tensor:
        """Change of the difference when the prediction for unit sources changes."""

    @abstractmethod
    def adjoint(self, residual: torch.Tensor) -> torch.Tensor:
        """Adjoint of `apply` in the weighted inner product: maps residuals to predictions' side."""


class Misfit(ABC):
    """How predicted and observed data are compared."""

    @abstractmethod
    def residual(self, predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor) -> Residual:
        """Compare a prediction for unit sources with data.

        Args:
            predicted: Shape (tx, rx), or (freq, tx, rx) for misfits of a whole band.
            observed: Same shape.
            weights: How much each datum counts, same shape.
        """
