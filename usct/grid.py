"""The regular grid on which media and wave fields live, and linear maps between two grids."""

import math
from dataclasses import dataclass

import torch

SINC_REACH = 4
"""Samples on either side that band-limited resampling takes."""


@dataclass(frozen=True)
class Grid:
    """A regular grid of square or cubic cells; axes are (y, x) or (z, y, x).

    Attributes:
        shape: Number of nodes along each axis.
        spacing: Distance between neighbouring nodes, equal on all axes [m].
        origin: Coordinates of the node with index zero, in axis order [m].
    """

    shape: tuple[int, ...]
    spacing: float
    origin: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse grids that cannot exist."""
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "origin", tuple(float(x) for x in self.origin))
        object.__setattr__(self, "spacing", float(self.spacing))
        if len(self.shape) not in (2, 3) or len(self.origin) != len(self.shape):
            raise ValueError(
                f"shape and origin must both have 2 or 3 axes, got {self.shape} and {self.origin}"
            )
        if min(self.shape) < 1:
            raise ValueError(f"shape must be positive on every axis, got {self.shape}")
        if not (math.isfinite(self.spacing) and self.spacing > 0):
            raise ValueError(f"spacing must be > 0 m, got {self.spacing:g}")

    @classmethod
    def centred(cls, shape: tuple[int, ...], spacing: float) -> "Grid":
        """Grid whose middle lies at the coordinate origin."""
        return cls(shape, spacing, tuple(-0.5 * (n - 1) * spacing for n in shape))

    @classmethod
    def covering(cls, half_width: float, spacing: float, n_dims: int = 2) -> "Grid":
        """Smallest centred grid with an odd number of nodes that reaches `half_width` [m] each way."""
        n = 2 * math.ceil(half_width / spacing - 1e-9) + 1
        return cls.centred((n,) * n_dims, spacing)

    @property
    def n_dims(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def n_cells(self) -> int:
        """Number of nodes."""
        return math.prod(self.shape)

    @property
    def last(self) -> tuple[float, ...]:
        """Coordinates of the node with the largest index [m]."""
        return tuple(o + (n - 1) * self.spacing for o, n in zip(self.origin, self.shape, strict=True))

    def axis(self, dim: int) -> torch.Tensor:
        """Coordinates of the nodes along one axis, shape (n,) [m]."""
        return self.origin[dim] + self.spacing * torch.arange(self.shape[dim], dtype=torch.float64)

    def axes(self) -> tuple[torch.Tensor, ...]:
        """Coordinates of the nodes along every axis [m]."""
        return tuple(self.axis(dim) for dim in range(self.n_dims))

    def points(self) -> torch.Tensor:
        """Coordinates of every node, shape (*shape, n_dims) [m]."""
        return torch.stack(torch.meshgrid(*self.axes(), indexing="ij"), dim=-1)

    def padded(self, n_cells: int) -> "Grid":
        """The same grid with `n_cells` more nodes on every side."""
        shape = tuple(n + 2 * n_cells for n in self.shape)
        return Grid(shape, self.spacing, tuple(o - n_cells * self.spacing for o in self.origin))

    def fractional_index(self, positions: torch.Tensor) -> torch.Tensor:
        """Index coordinates of positions [m], same shape; node i has index i."""
        origin = torch.tensor(self.origin, dtype=positions.dtype, device=positions.device)
        return (positions - origin) / self.spacing

    def contains(self, positions: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """Which positions, shape (..., n_dims) [m], lie at least `margin` [m] inside the outer nodes."""
        low = torch.tensor(self.origin, dtype=positions.dtype) + margin
        high = torch.tensor(self.last, dtype=positions.dtype) - margin
        return ((positions >= low) & (positions <= high)).all(dim=-1)

    def disc(self, radius: float, centre: tuple[float, ...] | None = None) -> torch.Tensor:
        """Boolean map of the nodes within `radius` [m] of `centre` (default: the coordinate origin)."""
        offset = self.points() - torch.tensor(centre or (0.0,) * self.n_dims, dtype=torch.float64)
        return torch.linalg.vector_norm(offset, dim=-1) <= radius


def resampling_matrix(source: torch.Tensor, target: torch.Tensor, band_limited: bool = False) -> torch.Tensor:
    """Linear map from samples on one regular axis to samples on another.

    Cubic convolution (Keys 1981, a = -1/2), or a sinc in Hann's window of four samples on either side, which keeps all
    that the target can hold and overshoots more, where the target is as fine as the source or finer. Where it is
    coarser the kernel is stretched to the target's spacing, so that detail which the target cannot hold is averaged
    away instead of aliased. Beyond its ends the source is continued by its end value.

    Args:
        source: Increasing, evenly spaced coordinates, shape (n,) [m].
        target: Increasing, evenly spaced coordinates, shape (m,) [m].
        band_limited: Take the sinc.

    Returns:
        Matrix of shape (m, n), float64; each row sums to one.

    References:
        Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153, eq. (15).
    """
    n = len(source)
    if n == 1:
        return torch.ones(len(target), 1, dtype=torch.float64)
    step = float(source[-1] - source[0]) / (n - 1)
    target_step = float(target[-1] - target[0]) / (len(target) - 1) if len(target) > 1 else step
    stretch = max(1.0, target_step / step)
    index = (target.double() - float(source[0])) / step
    reach = math.ceil((SINC_REACH if band_limited else 2) * stretch)
    taps = torch.floor(index)[:, None].long() + torch.arange(-reach, reach + 2)
    distance = (taps - index[:, None]).abs() / stretch
    weights = _windowed_sinc(distance) if band_limited else _cubic_kernel(distance)
    weights = weights / weights.sum(dim=1, keepdim=True)
    matrix = torch.zeros(len(target), n, dtype=torch.float64)
    return matrix.scatter_add_(1, taps.clamp(0, n - 1), weights)


def _cubic_kernel(x: torch.Tensor) -> torch.Tensor:
    inner = 1.0 + x * x * (1.5 * x - 2.5)
    outer = 2.0 + x * (-4.0 + x * (2.5 - 0.5 * x))
    return torch.where(x < 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))


def _windowed_sinc(x: torch.Tensor) -> torch.Tensor:
    """Sinc times Hann's window for |x| in samples of the coarser axis."""
    window = 0.5 + 0.5 * torch.cos(torch.pi * (x / SINC_REACH).clamp(max=1))
    return torch.sinc(x) * window


def resample(values: torch.Tensor, source: Grid, target: Grid, band_limited: bool = False) -> torch.Tensor:
    """Map values from one grid to another, differentiably.

    Args:
        values: Samples on `source`, shape (..., *source.shape).
        source: The grid of the samples.
        target: The grid wanted, with the same number of axes.
        band_limited: See `resampling_matrix`.

    Returns:
        Samples on `target`, shape (..., *target.shape); `values` itself if the grids are equal.
    """
    if source == target:
        return values
    for dim in range(source.n_dims):
        matrix = resampling_matrix(source.axis(dim), target.axis(dim), band_limited).to(values)
        axis = dim - source.n_dims
        values = torch.movedim(torch.movedim(values, axis, -1) @ matrix.T, -1, axis)
    return values


def low_pass(values: torch.Tensor, spacing: float, cutoff: float) -> torch.Tensor:
    """Remove detail finer than a cutoff, with a cosine edge a tenth of it wide; symmetric as a linear map.

    Args:
        values: Samples on a regular grid; all axes count.
        spacing: Distance between neighbouring samples [m].
        cutoff: Highest wavenumber that passes, where half is left [rad/m].
    """
    axes = [2 * torch.pi * torch.fft.fftfreq(n, spacing, dtype=torch.float64) for n in values.shape]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(dim=0).sqrt()
    edge = ((radius / cutoff - 1.0) / 0.1 + 0.5).clamp(0, 1)
    passed = 0.5 * (1 + torch.cos(torch.pi * edge)).to(values.device)
    return torch.fft.ifftn(torch.fft.fftn(values) * passed).real
