"""Krylov methods for F^T F by products alone: largest eigenpairs, and how all eigenvalues are distributed."""

from collections.abc import Callable
from typing import final

import torch

Products = Callable[[torch.Tensor], torch.Tensor]

NEGLIGIBLE = 1e-6
"""Directions of less than this length, of unit vectors, after orthogonalisation are dropped."""

ROUNDING = 1e-14
"""Share of the largest eigenvalue of a Gram matrix that may be rounding."""


@final
class Subspace:
    """Orthonormal vectors and what F^T F makes of them; its Ritz pairs are the best approximation they allow.

    Args:
        capacity: Most dimensions.
        n: Length of the vectors.
        m: Length of their images under F.

    Attributes:
        values: Ritz values, largest first, shape (dim,).
        mixing: Ritz vectors in terms of the basis, one a column, shape (dim, dim).
        n_products: Vectors that F or F^T has been applied to.
    """

    def __init__(self, capacity: int, n: int, m: int) -> None:
        self._basis, self._products = (torch.empty(capacity, n, dtype=torch.float64) for _ in range(2))
        self._images = torch.empty(capacity, m, dtype=torch.float64)
        self._projected = torch.zeros(capacity, capacity, dtype=torch.float64)
        self.values, self.mixing = torch.zeros(0, dtype=torch.float64), torch.zeros(0, 0, dtype=torch.float64)
        self.n_products = 0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def capacity(self) -> int:
        """Most dimensions."""
        return len(self._basis)

    @property
    def basis(self) -> torch.Tensor:
        """Orthonormal rows, shape (dim, n)."""
        return self._basis[: len(self)]

    def extend(self, block: torch.Tensor, forward: Products, backward: Products) -> None:
        """Take up more orthonormal rows, and find the Ritz values anew."""
        old, dim = len(self), len(self) + len(block)
        self._basis[old:dim] = block
        self._images[old:dim] = forward(block)
        self._products[old:dim] = backward(self._images[old:dim])
        cross = self._images[:dim] @ self._images[old:dim].T
        self._projected[:dim, old:dim], self._projected[old:dim, :dim] = cross, cross.T
        values, mixing = torch.linalg.eigh(self._projected[:dim, :dim])
        self.values, self.mixing = values.flip(0), mixing.flip(1)
        self.n_products += 2 * len(block)

    def shrink(self, k: int) -> None:
        """Keep the first Ritz vectors alone."""
        mixing, dim = self.mixing[:, :k].T, len(self)
        k = len(mixing)
        for rows in (self._basis, self._images, self._products):
            rows[:k] = mixing @ rows[:dim]
        self.values, self.mixing = self.values[:k], torch.eye(k, dtype=torch.float64)
        self._projected[:k, :k] = self.values.diag()

    def ritz(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first Ritz vectors, shape (k, n), and their images, shape (k, m)."""
        mixing = self.mixing[:, :k].T
        return mixing @ self.basis, mixing @ self._images[: len(self)]

    def residuals(self, k: int) -> torch.Tensor:
        """F^T F v - value v of the first Ritz vectors v, shape (k, n)."""
        mixing = self.mixing[:, :k].T
        residuals = mixing @ self._products[: len(self)]
        return residuals.addmm_(self.values[:k, None] * mixing, self.basis, alpha=-1)


def largest(
    forward: Products,
    backward: Products,
    start: torch.Tensor,
    k: int,
    n_block: int,
    tolerance: float,
    max_products: int,
    subspace: Subspace,
    report: Callable[[float], None] | None = None,
) -> None:
    """Find the largest eigenpairs of F^T F in a subspace that grows by its residuals, block by block.

    From random vectors this is the block Lanczos method with full orthogonalisation and thick restarts; it
    starts as well from vectors that are nearly right, and its residuals are computed, not inferred.

    Args:
        forward: F of many vectors, (b, n) to (b, m).
        backward: F^T of many vectors, (b, m) to (b, n).
        start: Rows to start from, shape (b, n).
        k: Number of pairs wanted.
        n_block: Number of directions to grow by.
        tolerance: Largest norm of a residual, as a share of the largest eigenvalue.
        max_products: Most vectors that F or F^T may be applied to; the first block is always tried.
        subspace: Empty, and with room for the start, and for k vectors and four blocks.
        report: Told the largest norm of a residual as a share of the largest eigenvalue.

    References:
        Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000) 602; Morgan & Scott, SIAM J. Sci. Stat. Comput. 7
        (1986) 817, without a preconditioner.
    """
    block = orthonormal(start)
    while len(block):
        subspace.extend(block, forward, backward)
        residuals = subspace.residuals(k)
        worst = float(residuals.norm(dim=1).max() / subspace.values[0].clamp(min=1e-300))
        if report is not None:
            report(worst)
        n_left = (max_products - subspace.n_products) // 2
        if n_left < 1 or (len(subspace) >= k and worst <= tolerance):
            break
        if len(subspace) + n_block > subspace.capacity:
            subspace.shrink(subspace.capacity - 4 * n_block)
        block = _main_directions(residuals, subspace.basis, min(n_block, n_left))


def orthonormal(rows: torch.Tensor, against: torch.Tensor | None = None) -> torch.Tensor:
    """Orthonormal rows that span the same, and are orthogonal to other orthonormal rows; dependent ones go."""
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-300)
    for _ in range(3):  # rounding errors of what has been subtracted grow when little is left
        if against is not None:
            rows = rows - (rows @ against.T) @ against
        squares, mixing = torch.linalg.eigh(rows @ rows.T)
        kept = squares > NEGLIGIBLE**2
        rows = (mixing[:, kept] * squares[kept].rsqrt()).T @ rows
    return rows


def _main_directions(residuals: torch.Tensor, basis: torch.Tensor, n: int) -> torch.Tensor:
    """Orthonormal directions outside the basis in which the residuals are largest, at most n."""
    values, mixing = torch.linalg.eigh(residuals @ residuals.T)
    kept = values > ROUNDING * values[-1].clamp(min=1e-300)
    main = mixing[:, kept].flip(1)[:, :n].T @ residuals
    return orthonormal(main, basis)


def ritz_measure(
    forward: Products, backward: Products, probes: torch.Tensor, n_steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss quadrature of the spectrum of F^T F as seen by each probe: Lanczos with full orthogonalisation.

    Args:
        forward: F of many vectors, (b, n) to (b, m).
        backward: F^T of many vectors, (b, m) to (b, n).
        probes: Unit vectors, shape (b, n).
        n_steps: Steps for each; those that come after its Krylov space is exhausted change nothing.

    Returns:
        Nodes and weights, shape (b, step) each; the weights of each probe sum to one.

    References:
        Golub & Welsch, Math. Comput. 23 (1969) 221.
    """
    n_steps = min(n_steps, probes.shape[1])
    basis = torch.zeros(len(probes), n_steps, probes.shape[1], dtype=torch.float64)
    projected = torch.zeros(len(probes), n_steps, n_steps, dtype=torch.float64)
    vectors = probes
    for step in range(n_steps):
        basis[:, step] = vectors
        vectors = backward(forward(vectors))
        known = basis[:, : step + 1]
        for _ in range(2):
            overlap = (known @ vectors[:, :, None])[:, :, 0]
            projected[:, : step + 1, step] += overlap
            vectors = vectors - (overlap[:, None] @ known)[:, 0]
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        scale = projected[:, 0, 0].clamp(min=1e-300)[:, None]
        vectors = torch.where(length > NEGLIGIBLE * scale, vectors / length.clamp(min=1e-300), 0)
    values, mixing = torch.linalg.eigh(projected, UPLO="U")
    return values.clamp(min=0), mixing[:, 0].square()
