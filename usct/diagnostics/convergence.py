"""How residuals decay, mode by mode: what the wave tangent kernel predicts and what a run does.

Plain gradient steps of length eta leave (1 - eta l)^t of the residuals' part in a mode with eigenvalue l, as long
as the kernel stays what it was. It does not stay: the waves change with the image, and a network's kernel changes
with its weights (Chen et al., arXiv 2603.22362, theorem 4.1). How far it has moved is measured too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from usct.diagnostics.eigen import Eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.forward.parallel import single_threaded_blas
from usct.inversion.objective import Objective, Point
from usct.misfit.spectra import LeastSquares


@dataclass(frozen=True)
class Drift:
    """Change of the wave tangent kernel on the span of some modes, relative to what it was (Frobenius norm).

    Attributes:
        total: Of the kernel [1].
        representation: If only the representation's tangent kernel had changed, not the waves [1].
        waves: If only the waves had changed [1].
    """

    total: float
    representation: float
    waves: float


@dataclass(frozen=True)
class DecayError:
    """How far predicted and measured decay are apart.

    Attributes:
        share: |measured - predicted| over the amplitude before the first step, the largest of any mode and step,
            for modes that held enough to be told [1].
        decades: Median of |log10 measured - log10 predicted| over those modes and all steps [1].
    """

    share: float
    decades: float


def predicted_decay(
    values: torch.Tensor, coefficients: torch.Tensor, rate: float, n_steps: int, flow: bool = False
) -> torch.Tensor:
    """Amplitudes of the residuals' modes under plain gradient steps, (1 - rate l)^t.

    Args:
        values: Eigenvalues, shape (mode,).
        coefficients: Amplitudes before the first step, shape (mode,).
        rate: Length of a step, as a factor of the gradient; stable below two over the largest eigenvalue.
        n_steps: How many.
        flow: exp(-rate l t) instead, the limit of many short steps.

    Returns:
        Shape (n_steps + 1, mode).
    """
    steps = torch.arange(n_steps + 1, dtype=torch.float64)[:, None]
    factor = torch.exp(-rate * values) if flow else 1 - rate * values
    return coefficients * factor**steps


def predicted_step(values: torch.Tensor, coefficients: torch.Tensor, damping: float) -> torch.Tensor:
    """Amplitudes after one Gauss-Newton step that was solved to the end, damping / (l + damping), shape (mode,)."""
    return coefficients * damping / (values + damping)


def measured_decay(residuals: Sequence[torch.Tensor], pairs: Eigenpairs) -> torch.Tensor:
    """Amplitudes of the modes in the residuals of successive iterates, whatever optimizer made them.

    Args:
        residuals: Whitened, shape (n_data,) each, see `TangentKernels.residual`.
        pairs: Of the kernel at one of the iterates.

    Returns:
        Shape (iterate, mode).
    """
    return torch.stack(list(residuals)) @ pairs.data_modes.T


def decay_error(predicted: torch.Tensor, measured: torch.Tensor, least: float = 0.01) -> DecayError:
    """Compare two decays, shape (step + 1, mode) each.

    Args:
        predicted: From `predicted_decay`.
        measured: From `measured_decay`.
        least: Modes that hold less than this share of the strongest one's amplitude are left out.
    """
    told = measured[0].abs() >= least * measured[0].abs().max()
    predicted, measured = predicted[:, told], measured[:, told]
    share = ((measured - predicted).abs() / measured[0].abs()).max()
    decades = (measured[1:].abs().log10() - predicted[1:].abs().log10()).abs().median()
    return DecayError(float(share), float(decades))


def steepest_rate(values: torch.Tensor, share: float = 0.5) -> float:
    """Length of a plain gradient step that is a share of the one which takes the first mode at once."""
    return share / float(values.max())


def descend(kernels: TangentKernels, rate: float, n_steps: int) -> list[torch.Tensor]:
    """Take plain gradient steps, the waves solved anew after each, and leave everything as it was.

    Weights of receives are held where they are, as every Jacobian holds them within an update.

    Args:
        kernels: Where to start; their preconditioner shapes the steps and is held.
        rate: Length of a step, as a factor of the gradient.
        n_steps: How many; each costs one factorisation per frequency.

    Returns:
        Residuals before the first step and after each, shape (n_data,) each.
    """
    objective = _holding(kernels.point)
    before = objective.parameterization.vector()
    residuals = [kernels.residual()]
    try:
        now = kernels
        for _ in range(n_steps):
            step = now.scaled(now.adjoint(residuals[-1])).to(now.point.parameters)
            now = now.at(objective.at(now.point.parameters - rate * step))
            residuals.append(now.residual())
    finally:
        objective.parameterization.load(before)
    return residuals


def _holding(point: Point) -> Objective:
    """The point's objective with its weights of receives held."""
    objective = point.objective
    misfit = objective.misfit
    if isinstance(misfit, LeastSquares) and misfit.source_weights == "both":
        misfit = [replace(misfit, receive=residual.receive) for residual in point.residuals]
    return Objective(objective.models, objective.observed, misfit, objective.parameterization)


@single_threaded_blas()
def drift(before: TangentKernels, after: TangentKernels, pairs: Eigenpairs) -> Drift:
    """How far the kernel has moved between two points, as modes of the first see it.

    Args:
        before: At the first point.
        after: At the second point, of the same data.
        pairs: Of the kernel before.
    """
    modes = pairs.data_modes

    def seen(waves: TangentKernels, representation: TangentKernels) -> torch.Tensor:
        """The modes' matrix of J Theta J^T with J and Theta of different points, shape (mode, mode)."""
        half = torch.stack([representation.from_image(waves.wave_adjoint(mode)) for mode in modes])
        return half @ half.T

    first = seen(before, before)
    pairings = ((after, after), (before, after), (after, before))
    changes = [float((seen(*pairing) - first).norm() / first.norm()) for pairing in pairings]
    return Drift(*changes)


def effective_steps(predicted: torch.Tensor, left: float = math.exp(-1)) -> torch.Tensor:
    """Steps after which each mode has fallen to a share of its start, shape (mode,); infinite where none of them did.

    Args:
        predicted: Amplitudes, shape (step + 1, mode).
        left: The share.
    """
    reached = predicted.abs() <= left * predicted[0].abs()
    steps = reached.double().argmax(dim=0).double()
    return torch.where(reached.any(dim=0), steps, math.inf)
