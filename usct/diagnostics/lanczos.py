"""Krylov methods for F^T F by products alone: largest eigenpairs, and how all eigenvalues are distributed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

Products = Callable[[torch.Tensor], torch.Tensor]

NEGLIGIBLE = 1e-10
"""Directions with less than this share of their length left after orthogonalisation are dropped."""

ROUNDING = 1e-14
"""Share of the largest eigenvalue of a Gram matrix that may be rounding."""


@dataclass(frozen=True)
class Search:
    """A subspace and what the operator makes of it.

    Attributes:
        basis: Orthonormal rows, shape (dim, n).
        images: F of each, shape (dim, m).
        products: F^T F of each, shape (dim, n).
        values: Ritz values, largest first, shape (dim,).
        mixing: Ritz vectors in terms of the basis, shape (dim, dim), one a column.
        n_products: Vectors that F or F^T has been applied to.
    """

    basis: torch.Tensor
    images: torch.Tensor
    products: torch.Tensor
    values: torch.Tensor
    mixing: torch.Tensor
    n_products: int

    @classmethod
    def nothing(cls) -> "Search":
        """An empty subspace."""
        none = torch.zeros(0, 0, dtype=torch.float64)
        return cls(none, none, none, torch.zeros(0, dtype=torch.float64), none, 0)

    def extended(self, block: torch.Tensor, forward: Products, backward: Products) -> "Search":
        """With more orthonormal rows; the Ritz values are found anew."""
        images = forward(block)
        products = backward(images)
        if len(self.basis):
            block, images, products = (
                torch.cat(pair)
                for pair in (
                    (self.basis, block),
                    (self.images, images),
                    (self.products, products),
                )
            )
        projected = images @ images.T
        values, mixing = torch.linalg.eigh(projected)
        count = self.n_products + 2 * (len(block) - len(self.basis))
        return Search(block, images, products, values.flip(0), mixing.flip(1), count)

    def residuals(self, k: int) -> torch.Tensor:
        """F^T F v - value v of the first Ritz vectors v, shape (k, n)."""
        mixing = self.mixing[:, :k].T
        return mixing @ self.products - self.values[:k, None] * (mixing @ self.basis)

    def restricted(self, k: int) -> "Search":
        """The subspace of the first Ritz vectors."""
        mixing = self.mixing[:, :k].T
        basis, images, products = (mixing @ part for part in (self.basis, self.images, self.products))
        alone = torch.eye(len(mixing), dtype=torch.float64)
        return Search(basis, images, products, self.values[:k], alone, self.n_products)


def largest(
    forward: Products,
    backward: Products,
    start: torch.Tensor,
    k: int,
    n_block: int,
    tolerance: float,
    max_products: int,
    max_dim: int,
    report: Callable[[float], None] | None = None,
) -> Search:
    """Subspace that holds the largest eigenpairs of F^T F, grown by their residuals, block by block.

    From random vectors this is the block Lanczos method with full orthogonalisation and thick restarts; it
    starts as well from vectors that are nearly right, and its residuals are computed, not inferred.

    Args:
        forward: F of many vectors, (b, n) to (b, m).
        backward: F^T of many vectors, (b, m) to (b, n).
        start: Linearly independent rows, shape (b, n).
        k: Number of pairs wanted.
        n_block: Number of directions to grow by.
        tolerance: Largest norm of a residual, as a share of the largest eigenvalue.
        max_products: Most vectors that F or F^T may be applied to; the first block is always tried.
        max_dim: Most dimensions of the subspace; at least k and two blocks.
        report: Told the largest norm of a residual as a share of the largest eigenvalue.

    References:
        Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000) 602; Morgan & Scott, SIAM J. Sci. Stat. Comput. 7
        (1986) 817, without a preconditioner.
    """
    search, block = Search.nothing(), orthonormal(start)
    while len(block):
        search = search.extended(block, forward, backward)
        residuals = search.residuals(k)
        norms = torch.linalg.vector_norm(residuals, dim=1)
        worst = float(norms.max() / search.values[0].clamp(min=1e-300))
        if report is not None:
            report(worst)
        enough = len(search.values) >= k and worst <= tolerance
        n_left = (max_products - search.n_products) // 2
        if enough or n_left < 1:
            break
        if len(search.basis) + n_block > max_dim:
            search = search.restricted(max(k, max_dim - 4 * n_block))
        block = _main_directions(residuals, search.basis, min(n_block, n_left))
    return search


def orthonormal(rows: torch.Tensor, against: torch.Tensor | None = None) -> torch.Tensor:
    """Orthonormal rows that span the same, and are orthogonal to other orthonormal rows; dependent ones go."""
    rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=1e-300)
    for _ in range(2):  # once leaves rounding errors of what has been subtracted
        if against is not None and len(against):
            rows = rows - (rows @ against.T) @ against
        left, lengths, right = torch.linalg.svd(rows, full_matrices=False)
        rows = right[lengths > NEGLIGIBLE]
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
