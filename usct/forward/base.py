"""What every forward model promises."""

from abc import ABC, abstractmethod

import torch

from usct.acquisition import TransducerArray
from usct.forward.born import LinearizedForward
from usct.grid import Grid
from usct.medium import Medium


class ForwardModel(ABC):
    """Predicts what an array records from a medium.

    Attributes:
        grid: Grid on which it wants the medium; it holds the elements.
        array: Elements, transmits and receives.
        water_sound_speed: Sound speed around the elements [m/s].
        pml_cells: Thickness of the absorbing layers that it adds around the grid.
        n_frequencies: How many frequencies one linearisation holds, each for one factorisation.
    """

    grid: Grid
    array: TransducerArray
    water_sound_speed: float
    pml_cells: int
    n_frequencies: int = 1

    @abstractmethod
    def __call__(self, medium: Medium, frequencies: torch.Tensor) -> torch.Tensor:
        """Predict the spectra of unit sources, differentiably with respect to the medium.

        Args:
            medium: On `grid`.
            frequencies: Shape (freq,) [Hz].

        Returns:
            Shape (freq, tx, rx), complex128.
        """

    @abstractmethod
    def squared_slowness(self, medium: Medium, frequency: float) -> torch.Tensor:
        """Squared complex slowness on the padded grid, differentiable, shape of `padded` [s^2/m^2].

        Raises:
            ValueError: If medium and grid differ.
        """

    @abstractmethod
    def linearize(
        self, medium: Medium, frequency: float, region: torch.Tensor | None = None, check: bool = True
    ) -> LinearizedForward:
        """The data at one frequency, and everything about how they change with the squared slowness.

        Args:
            medium: On `grid`.
            frequency: Frequency [Hz].
            region: Where the medium may change, boolean of grid.shape; by default everywhere, absorbing
                layers included.
            check: Measure the residual of the wave equation on the whole grid.

        Raises:
            InputError: If the grid does not suit the frequency.
            ValueError: If medium and grid differ.
        """

    @property
    def padded(self) -> Grid:
        """The grid with its absorbing layers."""
        return self.grid.padded(self.pml_cells)
