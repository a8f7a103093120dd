"""A scheme as the arrays of one floating-point type that compiled code takes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from usct.forward.time_domain.layers import ZONE, Layer
from usct.forward.time_domain.relaxation import MOST_MECHANISMS
from usct.forward.time_domain.rows import HALO
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.stencil import FIRST

UNIFORM, DENSE, LOSSY = 0, 1, 2

State = tuple[np.ndarray, ...]
"""Fields, layers and memories, as `Tables.silence` makes them."""

Runs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""First node in the halo, first place, and length of every run of neighbouring cells."""


@dataclass(frozen=True)
class Tables:
    """Arrays for `steps.run`.

    Attributes:
        real: Floating-point type of all of them.
        shape: Of the grid.
        medium: See `steps.run`.
        layers: See `steps.run`.
        push: What a source of unit strength adds to the field, for every node.
    """

    real: type
    shape: tuple[int, ...]
    medium: tuple[Any, ...]
    layers: tuple[np.ndarray, ...]
    push: np.ndarray

    @classmethod
    def of(cls, scheme: Scheme, dtype: torch.dtype) -> "Tables":
        """Those of a scheme."""
        real = np.float32 if dtype == torch.float32 else np.float64
        push = scheme.gain.detach().numpy().reshape(-1) * scheme.source_gain
        return cls(real, scheme.grid.shape, _medium(scheme, real), _layers(scheme, real), push)

    def silence(self) -> State:
        """Fields, layers and memories before a shot: all zero."""
        nz, ny, nx = self.medium[1].shape
        is_volume = ny > 1
        wave = nz + 2 * HALO, ny + 2 * HALO if is_volume else 1, nx + 2 * HALO
        shapes = (
            wave,
            wave,
            (2, ZONE + 4, ny, nx),
            (2, ZONE, ny, nx),
            (2, nz, ZONE + 4, nx) if is_volume else (2, 0, ZONE + 4, nx),
            (2, nz, ZONE, nx) if is_volume else (2, 0, ZONE, nx),
            (2, nz, ny, ZONE + 4),
            (2, nz, ny, ZONE),
            (len(self.medium[4]), nz, ny, nx),
        )
        return tuple(np.zeros(shape, dtype=self.real) for shape in shapes)

    def within(self, margin: int) -> tuple[Any, ...]:
        """The medium less so many nodes on every side."""
        weights, *maps, mechanisms, kind = self.medium
        cut = [slice(margin, n - margin) if n > 1 else slice(None) for n in maps[0].shape]
        inner = (np.ascontiguousarray(m[tuple(cut)]) if m.size else m for m in maps)
        return weights, *inner, mechanisms, kind

    def in_halo(self, nodes: np.ndarray) -> np.ndarray:
        """Flat indices of nodes in an array with a halo around every axis."""
        index = np.unravel_index(nodes, self.shape)
        return np.ravel_multi_index(tuple(i + HALO for i in index), tuple(n + 2 * HALO for n in self.shape))

    def sources(self, nodes: np.ndarray, weights: np.ndarray, signals: np.ndarray) -> tuple[np.ndarray, ...]:
        """Elements that send signals (sender, time), for `steps.run`."""
        heights = (weights * self.push[nodes]).astype(self.real)
        return self.in_halo(nodes), heights, np.ascontiguousarray(signals, dtype=self.real)

    def ears(self, nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Elements that are recorded, for `steps.run`."""
        return self.in_halo(nodes), weights.astype(self.real)

    def runs(self, cells: np.ndarray) -> Runs:
        """Cells as runs of neighbours."""
        places = self.in_halo(cells)
        first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        return places[first], first, np.diff(first, append=len(places))

    def no_transform(self) -> tuple[Any, ...]:
        """What `steps.run` takes where no field is transformed."""
        return np.empty((0, 2, 0), dtype=self.real), 1, np.empty((0, 2, 0), dtype=self.real)

    def no_tape(self) -> tuple[Any, ...]:
        """What `steps.run` takes where nothing is kept or compared."""
        return 0, np.empty((0, 0), dtype=self.real), np.empty(0, dtype=np.float64)


def _medium(scheme: Scheme, real: type) -> tuple[Any, ...]:
    """Stencil weights, the maps, the mechanisms, and the kind of medium."""
    shape = scheme.grid.shape if scheme.grid.n_dims == 3 else (scheme.grid.shape[0], 1, scheme.grid.shape[1])

    def placed(values: torch.Tensor | None) -> np.ndarray:
        if values is None:
            return np.empty((0, 0, 0), dtype=real)
        return np.ascontiguousarray(values.detach().numpy().astype(real).reshape(shape))

    maps = tuple(placed(m) for m in (scheme.gain, scheme.keep, scheme.feed))
    relaxation = scheme.relaxation
    mechanisms: np.ndarray = np.empty((0, 4), dtype=real)
    kind = UNIFORM if scheme.keep is None else DENSE
    if relaxation is not None:
        kind = LOSSY
        mechanisms = np.zeros((MOST_MECHANISMS, 4), dtype=real)
        own = zip(relaxation.decays, relaxation.gains, relaxation.weights, strict=True)
        for number, (decay, gain, weight) in enumerate(own):
            mechanisms[number, :3] = decay, gain, weight * (1 - decay)
        mechanisms[:, 3] = 2 * relaxation.instant
    return np.array(scheme.stencil.weights, dtype=real), *maps, mechanisms, kind


def _layers(scheme: Scheme, real: type) -> tuple[np.ndarray, ...]:
    """Weights of the first difference, then the coefficients of the axes z, y, x; a plane has no y."""
    axes = (
        scheme.layers if len(scheme.layers) == 3 else (scheme.layers[0], scheme.layers[0], scheme.layers[1])
    )

    def ends(axis: Layer) -> np.ndarray:
        both = torch.stack([axis.memory, axis.gain])
        return torch.stack([both[:, :ZONE].flatten(), both[:, -ZONE:].flatten()]).numpy().astype(real)

    return np.array(FIRST, dtype=real), *(ends(axis) for axis in axes)
