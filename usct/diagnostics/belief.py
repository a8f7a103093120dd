"""What is held about noise and image before the data, and the most probable change of the image after them.

The change e that an image lacks is taken as normal with covariance s Theta, Theta the representation's tangent
kernel, and a datum's noise as normal with variance v. With K = J J_theta the most probable change is then
J_theta (K^T K + v / s)^-1 K^T times the data, and its errors have the covariance v J_theta (K^T K + v / s)^-1 J_theta^T
(Tarantola, Inverse Problem Theory, SIAM 2005, eq. 3.37 and 3.38). No matrix is made: each estimate is one solution
by conjugate gradients.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from usct.diagnostics.kernels import TangentKernels, WaveProducts
from usct.diagnostics.lanczos import orthonormal, ritz_measure
from usct.forward.parallel import single_threaded_blas
from usct.inversion.tailoring import noise_variance

Report = Callable[[float], None]
Look = Callable[[torch.Tensor], torch.Tensor]

N_PROBES = 4
"""Random vectors for a trace; with a thousand eigenvalues that count, it is right to five per cent."""

LEAST_FREEDOM = 0.05
"""Share of the data that always counts as free to show noise."""

N_REVISIONS, SETTLED, N_STEPS = 20, 0.01, 16
"""Revisions of the scale at most, when it counts as found, and Lanczos steps that serve all of them."""

SMALL_REST = 1e-3
"""Share of an estimate that a product may still change when it counts as found."""

MOST_PRODUCTS = 200
"""Products with K^T K in one estimate at most."""


@dataclass(frozen=True)
class Belief:
    """Variances of noise and image.

    Attributes:
        noise: Of one real datum, on the scale of the objective [1].
        scale: Of the image: what the tangent kernel is to be multiplied with to become its covariance [1].
        determined: Numbers that the data determine then, where these were counted to find the scale.
    """

    noise: float
    scale: float = 1.0
    determined: float | None = None

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
    seed: int = 0,
) -> Belief:
    """Find both variances from the data alone.

    A kernel that was tailored to the data is the covariance, and brings its noise with it. For any other the
    noise is told from reciprocal pairs or the misfit, and the scale is the likeliest one, at which the parameters
    that the data determine have just that variance (MacKay, Neural Comput. 4 (1992) 415). Matching the energy of
    the data instead would let a few modes of large eigenvalues decide, and be off by half.

    Args:
        kernels: At the point in question.
        noise: Variance of a real datum, if it is known.
        change: What the image changed since the start of the run, relative slowness, shape of the image. It counts
            as told by the data: at the end of a run the residuals alone would say that nothing was to be found. And
            what was fitted with it is not free to show noise.
        seed: Of the random probe.
    """
    if kernels.point.damping > 0:
        return Belief(kernels.point.damping if noise is None else noise)
    told = -kernels.residual()
    if change is not None:
        told = told + kernels.wave(change)
    seen = _Seen.of(kernels, told, seed)
    variance = noise_of(kernels) if noise is None else noise
    scale = seen.likeliest_scale(variance)
    if noise is None and change is not None:
        variance = noise_of(kernels, seen.determined(variance / scale))
        scale = seen.likeliest_scale(variance)
    return Belief(variance, scale, seen.determined(variance / scale))


def noise_of(kernels: TangentKernels, n_fitted: float = 0.0) -> float:
    """Variance of the noise in one real datum, so many numbers having been fitted to the data."""
    left = max(kernels.n_data - n_fitted, LEAST_FREEDOM * kernels.n_data)
    return noise_variance(kernels.point, float(kernels.residual().square().sum()) / left)


@dataclass(frozen=True)
class _Seen:
    """What data and random signs hold at each eigenvalue of K^T K, by Gauss quadrature from one Lanczos run.

    Attributes:
        energy: Of the data [1].
        n_data: Number of data.
        trace: Of K^T K, an estimate [1].
        nodes: Eigenvalues that stand for others, for the data and for the signs, shape (2, node) [1].
        weights: What K^T times each holds of them, shape (2, node).
    """

    energy: float
    n_data: int
    trace: float
    nodes: torch.Tensor
    weights: torch.Tensor

    @classmethod
    @single_threaded_blas()
    def of(cls, kernels: TangentKernels, data: torch.Tensor, seed: int) -> "_Seen":
        generator = torch.Generator().manual_seed(seed)
        probe = random_signs(kernels.n_parameters, generator)
        trace = float(kernels.apply(probe).square().sum())
        start = kernels.adjoint_all(torch.stack([data, random_signs(kernels.n_data, generator)]))
        size = start.norm(dim=1, keepdim=True).clamp(min=1e-300)
        nodes, weights = ritz_measure(kernels.apply_all, kernels.adjoint_all, start / size, N_STEPS)
        energy = float(data.square().sum())
        return cls(energy, kernels.n_data, trace, nodes, size.square() * weights)

    def determined(self, ratio: float) -> float:
        """Numbers that the data determine, the trace of K (K^T K + ratio)^-1 K^T."""
        return float((self.weights[1] / (self.nodes[1] + ratio)).sum())

    def likeliest_scale(self, noise: float) -> float:
        """Variance of the parameters at which those that the data determine have it."""
        # Less than noise's own luck cannot be told from nothing.
        least = noise * math.sqrt(2 * self.n_data) / self.trace
        scale = max(self.energy / self.trace - self.n_data * noise / self.trace, least)
        for _ in range(N_REVISIONS):
            before, ratio = scale, noise / scale
            found = float((self.weights[0] / (self.nodes[0] + ratio).square()).sum())
            scale = max(found / max(self.determined(ratio), 1.0), least)
            if abs(scale / before - 1) < SETTLED:
                break
        return scale


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
        data: Weighted data that the change is to explain, shape (n_data,) or (n, n_data); at the point these are
            minus the residuals. Many at once cost less than one after the other.
        belief: Variances.
        rest: See `solved`.
        most: Products with K^T K at most.

    Returns:
        Shape (n_parameters,) or (n, n_parameters), to be shown with `kernels.image_of`.
    """
    many = data.reshape(-1, data.shape[-1])
    with single_threaded_blas():
        found, _ = solved(kernels, kernels.adjoint_all(many), belief, rest, most)
    return found.reshape(*data.shape[:-1], -1)


@single_threaded_blas()
def solved(
    kernels: TangentKernels,
    right: torch.Tensor,
    belief: Belief,
    rest: float,
    most: int = MOST_PRODUCTS,
    report: Report | None = None,
    waves: WaveProducts | None = None,
    look: Look | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve (K^T K + v / s) x = right for many right-hand sides by preconditioned block conjugate gradients.

    All of them are sought in the space that all span, which takes about half as many products as each on its own.

    Args:
        kernels: At the point about which all is linear.
        right: Shape (n, n_parameters).
        belief: Variances.
        rest: One is found when a product has changed what is looked at by less than this share of it. A rest of the
            residual would say less: its parts that weigh least there may be what shows most in an image.
        most: Products with K^T K at most.
        report: Told after each of them how far it has come, 0 to 1.
        waves: What to take for the waves' Jacobian, see `TangentKernels.apply_all`.
        look: What is looked at, a linear function of parameters, shape (n, n_parameters); they themselves by default.

    Returns:
        Shape (n, n_parameters), and the share by which the last product has changed each, shape (n,) [1].

    References:
        O'Leary, Linear Algebra Appl. 29 (1980) 293; directions are made orthonormal, as in Dubrulle, Electron. Trans.
        Numer. Anal. 12 (2001) 216.
    """
    size = right.norm(dim=1, keepdim=True).clamp(min=1e-300)
    left, x = right / size, torch.zeros_like(right)
    seen, change = torch.zeros(()), torch.ones(len(right), dtype=torch.float64)
    shaped, come = preconditioned(kernels, left), 0.0
    directions = orthonormal(shaped)
    for _ in range(most):
        products = (
            kernels.adjoint_all(kernels.apply_all(directions, waves), waves) + belief.ratio * directions
        )
        curvature = directions @ products.T
        lengths = torch.linalg.solve(curvature, directions @ left.T)
        x, left = x + lengths.T @ directions, left - lengths.T @ products
        before, seen = seen, (x if look is None else look(x)).flatten(1)
        change = (seen - before).norm(dim=1) / seen.norm(dim=1).clamp(min=1e-300)
        far = float(change.max()) / rest
        # What is left falls by about the same factor each time.
        come = max(come, 1 + math.log(max(far, 1.0)) / math.log(rest))
        if report is not None:
            report(come)
        if far <= 1:
            break
        shaped = preconditioned(kernels, left)
        shaped = shaped - torch.linalg.solve(curvature, products @ shaped.T).T @ directions
        directions = orthonormal(shaped)
        if not len(directions):  # solved to the last digit
            break
    return size * x, change


def random_signs(n: int, generator: torch.Generator) -> torch.Tensor:
    """Plus and minus one at random, shape (n,), float64."""
    return 2.0 * torch.randint(0, 2, (n,), generator=generator).double() - 1.0


def preconditioned(kernels: TangentKernels, gradients: torch.Tensor) -> torch.Tensor:
    """Gradients, shape (n, n_parameters), times the inverse of the curvature as far as a tailored kernel knows it."""
    if kernels.point.damping == 0:
        return gradients.clone()
    form = kernels.point.objective.parameterization
    return torch.stack([form.precondition(gradient, math.inf) for gradient in gradients])
