"""What every forward model promises."""

from abc import ABC, abstractmethod

import torch

from usct.acquisition import TransducerArray
from usct.grid import Grid
from usct.medium import Medium


class ForwardModel(ABC):
    """Predicts what an array records from a medium.

    Attributes:
        grid: Grid on which it wants the medium; it holds the elements.
        array: Elements, transmits and receives.
    """

    grid: Grid
    array: TransducerArray

    @abstractmethod
    def __call__(self, medium: Medium, frequencies: torch.Tensor) -> torch.Tensor:
        """Predict the spectra of unit sources, differentiably with respect to the medium.

        Args:
            medium: On `grid`.
            frequencies: Shape (freq,) [Hz].

        Returns:
            Shape (freq, tx, rx), complex128.
        """
