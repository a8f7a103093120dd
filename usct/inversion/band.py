"""A forward model of several frequencies together, for misfits that compare whole bands."""

from dataclasses import dataclass, replace
from typing import cast

import torch

from usct.acquisition import Spectra, TransducerArray
from usct.forward.base import ForwardModel
from usct.forward.born import LinearizedForward
from usct.inversion.discretization import Discretization
from usct.medium import Medium


@dataclass(frozen=True)
class BandLinearized:
    """What a `LinearizedForward` is, for all frequencies of a band on one grid.

    Attributes:
        parts: One for each frequency, of the same cells.
    """

    parts: tuple[LinearizedForward, ...]

    @property
    def data(self) -> torch.Tensor:
        """Predicted data of unit sources, shape (freq, tx, rx)."""
        return torch.stack([part.data.cpu() for part in self.parts])

    @property
    def cells(self) -> torch.Tensor:
        """Flat indices into the padded grid of the band, shape (cell,)."""
        return self.parts[-1].cells

    @property
    def residual(self) -> float:
        """Largest relative residual of the wave equation [1]."""
        return max(part.residual for part in self.parts)

    @property
    def array(self) -> TransducerArray:
        """Elements."""
        return self.parts[-1].array

    def apply(self, change: torch.Tensor) -> torch.Tensor:
        """Change of the data for a change of squared slowness, shape (freq, tx, rx)."""
        return torch.stack([part.apply(change).cpu() for part in self.parts])

    def adjoint(self, residual: torch.Tensor) -> torch.Tensor:
        """Adjoint of `apply`, shape (cell,)."""
        total = self.parts[0].adjoint(residual[0])
        for part, one in zip(self.parts[1:], residual[1:], strict=True):
            total = total + part.adjoint(one)
        return total


class Band(ForwardModel):
    """Forward models of several frequencies on the grid that the highest of them needs; for lossless media.

    Args:
        models: One for each frequency, from the lowest up; their grids are alike, their layers need not be.
        frequencies: [Hz].
    """

    def __init__(self, models: tuple[ForwardModel, ...], frequencies: tuple[float, ...]) -> None:
        self.models, self.frequencies = models, frequencies
        highest = models[-1]
        self.grid, self.array = highest.grid, highest.array
        self.water_sound_speed, self.pml_cells = highest.water_sound_speed, highest.pml_cells
        self.n_frequencies = len(frequencies)

    @classmethod
    def of(
        cls,
        discretization: Discretization,
        array: TransducerArray,
        speeds: tuple[float, float],
        frequencies: tuple[float, ...],
        damping: float,
    ) -> "Band":
        """As `Discretization.model`, with the spacing of the highest frequency for all."""
        highest, models = max(frequencies), []
        for frequency in frequencies:
            # Layers as thick for their own wavelength as the highest frequency's.
            layered = replace(discretization, pml_cells=round(discretization.pml_cells * highest / frequency))
            models.append(layered.model(array, speeds, frequency, damping, grid_frequency=highest))
        return cls(tuple(models), frequencies)

    def __call__(self, medium: Medium, frequencies: torch.Tensor) -> torch.Tensor:
        """Spectra of unit sources, shape (freq, tx, rx)."""
        return self.models[-1](medium, frequencies)

    def squared_slowness(self, medium: Medium, frequency: float) -> torch.Tensor:
        """Squared slowness on the padded grid; without loss it is that of all frequencies."""
        return self.models[-1].squared_slowness(medium, frequency)

    def linearize(
        self, medium: Medium, frequency: float, region: torch.Tensor | None = None, check: bool = True
    ) -> LinearizedForward:
        """The data of the whole band, whatever the frequency, and how they change."""
        del frequency
        parts = [
            model.linearize(medium, own, region, check)
            for model, own in zip(self.models, self.frequencies, strict=True)
        ]
        # It has all that an objective asks for; fields of single frequencies, which other users want, are not one's.
        return cast(LinearizedForward, BandLinearized(tuple(parts)))


@dataclass(frozen=True)
class BandData:
    """Spectra of a band as the data of one forward model.

    Attributes:
        frequencies: Of the band as a whole, shape (1,) [Hz].
        values: Shape (1, freq, tx, rx).
        weights: Shape (1, freq, tx, rx).
    """

    frequencies: torch.Tensor
    values: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, spectra: Spectra) -> "BandData":
        """All frequencies of some spectra together."""
        return cls(spectra.frequencies.max()[None], spectra.values[None], spectra.weights[None])
