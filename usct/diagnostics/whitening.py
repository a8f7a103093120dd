"""One frequency's residuals as real numbers of equal weight."""

from dataclasses import dataclass

import torch

from usct.misfit.spectra import Residual


@dataclass(frozen=True)
class Whitening:
    """Real parts, then imaginary parts, of the entries that count, times the root of their weights.

    Attributes:
        kept: Which entries count, boolean (tx, rx).
        scale: Root of their weights over the number of frequencies, shape (entry,).
        n_frequencies: Over which the objective averages.
    """

    kept: torch.Tensor
    scale: torch.Tensor
    n_frequencies: int

    @classmethod
    def of(cls, residual: Residual, n_frequencies: int) -> "Whitening":
        """For the residuals of one of some frequencies."""
        weights = residual.weights.cpu().double()
        return cls(weights > 0, (weights[weights > 0] / n_frequencies).sqrt(), n_frequencies)

    @property
    def size(self) -> int:
        """Number of real data."""
        return 2 * len(self.scale)

    def __call__(self, changes: torch.Tensor) -> torch.Tensor:
        """Data of residuals, shape (..., tx, rx); shape (..., size)."""
        entries = self.scale * changes[..., self.kept]
        return torch.cat([entries.real, entries.imag], dim=-1)

    def matrix(self, data: torch.Tensor) -> torch.Tensor:
        """Data, shape (..., size), where they belong, still whitened; shape (..., tx, rx), complex."""
        matrix = torch.zeros(*data.shape[:-1], *self.kept.shape, dtype=torch.complex128)
        matrix[..., self.kept] = torch.complex(*data.double().chunk(2, dim=-1))
        return matrix

    def adjoint(self, data: torch.Tensor) -> torch.Tensor:
        """Adjoint in the objective's weighted inner product: residuals, shape (..., tx, rx), complex."""
        matrix = self.matrix(data)
        matrix[..., self.kept] /= self.scale * self.n_frequencies
        return matrix
