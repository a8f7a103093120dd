"""What is held about noise and image before the data, and the most probable change of the image after them.

The change e that an image lacks is taken as normal with covariance s Theta, Theta the representation's tangent
kernel, and a datum's noise as normal with variance v. With K = J J_theta the most probable change is then
J_theta (K^T K + v / s)^-1 K^T times the data, and its errors have the covariance v J_theta (K^T K + v / s)^-1 J_theta^T
(Tarantola, Inverse Problem Theory, SIAM 2005, eq. 3.37 and 3.38). No matrix is made: each estimate is one solution
by conjugate gradients.
"""

import math
from dataclasses import dataclass

import torch

from usct.diagnostics.kernels import TangentKernels
from usct.inversion.tailoring import noise_variance

N_PROBES = 4
"""Random images for a trace; with a thousand eigenvalues that count, one is right to five per cent."""

SMALL_REST = 1e-3
"""An estimate counts as found when this share of its right-hand side is left."""

MOST_PRODUCTS = 200
"""Products with K^T K in one estimate at most."""


@dataclass(frozen=True)
class Belief:
    """Variances of noise and image.

    Attributes:
        noise: Of one real datum, on the scale of the objective [1].
        scale: Of the image: what the tangent kernel is to be multiplied with to become its covariance [1].
    """

    noise: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse variances that are none."""
        if not (0 < self.noise < math.inf and 0 < self.scale < math.inf):
            raise ValueError(f"variances must be positive and finite, got {self.noise:g} and {self.scale:g}")

    @property
    def ratio(self) -> float:
        """Eigenvalue of the wave tangent kernel at which the data say as much as was held before [1]."""
        return self.noise / self.scale


def believe(
    kernels: TangentKernels,
    noise: float | None = None,
    change: torch.Tensor | None = None,
    freedom: float = 0.0,
    seed: int = 0,
) -> Belief:
    """Find both variances from the data alone.

    A kernel that was tailored to the data is the covariance, and brings its noise with it. For any other the
    noise is told from reciprocal pairs or the misfit, and the scale is the one with which the expected energy of
    the data, s tr K K^T + n v, is what was measured. That counts what the present image has already explained:
    at the end of a run the residuals alone would say that nothing was ever to be found.

    Args:
        kernels: At the point in question.
        noise: Variance of a real datum, if it is known.
        change: What the image changed since the start of the run, relative slowness, shape of the image.
        freedom: Numbers that were fitted to the data, which noise cannot show in.
        seed: Of the random probes.
    """
    damping = kernels.point.damping
    if noise is None and damping > 0:
        return Belief(damping)
    if noise is None:
        left = max(kernels.n_data - freedom, 0.05 * kernels.n_data)
        noise = noise_variance(kernels.point, float(kernels.residual().square().sum()) / left)
    if damping > 0:
        return Belief(noise)
    told = kernels.residual()
    if change is not None:
        told = told - kernels.wave(change)
    generator = torch.Generator().manual_seed(seed)
    probes = [random_signs(kernels.n_parameters, generator) for _ in range(N_PROBES)]
    trace = sum(float(kernels.apply(probe).square().sum()) for probe in probes) / N_PROBES
    # Less than noise's own luck cannot be told from nothing.
    unexplained = float(told.square().sum()) - kernels.n_data * noise
    return Belief(noise, max(unexplained, noise * math.sqrt(2 * kernels.n_data)) / trace)


def most_probable(
    kernels: TangentKernels,
    data: torch.Tensor,
    belief: Belief,
    rest: float = SMALL_REST,
    most: int = MOST_PRODUCTS,
) -> torch.Tensor:
    """Parameters of the most probable change of the image for linear data, (K^T K + v / s)^-1 K^T data.

    Args:
        kernels: At the point about which all is linear.
        data: Weighted data that the change is to explain, shape (n_data,); at the point these are minus the
            residuals.
        belief: Variances.
        rest: Share of the right-hand side that may be left.
        most: Products with K^T K at most.

    Returns:
        Shape (n_parameters,), to be shown with `kernels.image_of`.
    """
    right = kernels.adjoint(data)
    x, left = torch.zeros_like(right), right.clone()
    shaped = _shaped(kernels, left)
    direction, power = shaped, torch.dot(left, shaped)
    enough = rest**2 * float(power)
    for _ in range(most):
        if not float(power) > enough:
            break
        product = kernels.adjoint(kernels.apply(direction)) + belief.ratio * direction
        length = power / torch.dot(direction, product)
        x = x + length * direction
        left = left - length * product
        shaped = _shaped(kernels, left)
        power, before = torch.dot(left, shaped), power
        direction = shaped + (power / before) * direction
    return x


def random_signs(n: int, generator: torch.Generator) -> torch.Tensor:
    """Plus and minus one at random, shape (n,), float64."""
    return 2.0 * torch.randint(0, 2, (n,), generator=generator).double() - 1.0


def _shaped(kernels: TangentKernels, gradient: torch.Tensor) -> torch.Tensor:
    """A tailored kernel nearly knows the inverse of its curvature; others do not."""
    if kernels.point.damping == 0:
        return gradient
    return kernels.point.objective.parameterization.precondition(gradient, math.inf)
