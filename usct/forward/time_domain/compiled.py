"""The time-domain propagator for CPUs: every shot runs through all of its steps on one thread, in its cache."""

from typing import Any

import numpy as np
import torch

from usct.forward.parallel import each
from usct.forward.time_domain import steps
from usct.forward.time_domain.layers import ZONE, Layer
from usct.forward.time_domain.rows import HALO, STRIP
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.stencil import FIRST

UNIFORM, DENSE, LOSSY = 0, 1, 2


def propagate(scheme: Scheme, shots: Shots, dtype: torch.dtype = torch.float32) -> Records:
    """Run shots in parallel; see `shots` for what goes in and comes out, and `reference` for what it means."""
    real = np.float32 if dtype == torch.float32 else np.float64
    medium, layers = _medium(scheme, real), _layers(scheme, real)
    flat_nodes, weights = shots.sampling.nodes.numpy(), shots.sampling.weights.numpy()
    nodes = _in_halo(scheme.grid.shape, flat_nodes)
    signals = np.ascontiguousarray(shots.signals.detach().numpy(), dtype=real)
    receives = shots.receives.numpy()
    ears = nodes[receives], weights[receives].astype(real)
    runs, kernel = _transform(scheme, shots, real)
    n_cells = 0 if shots.cells is None else len(shots.cells)
    traces = np.empty((shots.n_shots, len(receives), signals.shape[-1]), dtype=real)
    fields = np.empty((len(kernel), shots.n_shots, n_cells), np.complex64 if real == np.float32 else complex)
    rest = np.empty(shots.n_shots)
    gain = scheme.gain.detach().numpy().reshape(-1) * scheme.source_gain

    def work(shot: int) -> None:
        senders = shots.transmits[shot].numpy()
        heights = (weights[senders] * gain[flat_nodes[senders]]).astype(real)
        sources = nodes[senders], heights, signals[shot if len(signals) > 1 else 0]
        transformed = np.zeros((len(kernel), 2, n_cells), dtype=real)
        transform = (*runs, kernel, shots.every, transformed)
        state = _silence(medium, real)
        # Fields fade into numbers so small that they are slow to compute with; they are as good as zero.
        flushes = torch.set_flush_denormal(True)
        rest[shot] = steps.run(medium, layers, state, sources, ears, traces[shot], transform)
        if flushes:
            torch.set_flush_denormal(False)
        fields[:, shot] = transformed[:, 0] + 1j * transformed[:, 1]

    each(work, range(shots.n_shots))
    found = None if shots.cells is None or shots.kernel is None else torch.from_numpy(fields)
    return Records(torch.from_numpy(traces), found, torch.from_numpy(rest))


def _medium(scheme: Scheme, real: type) -> tuple[Any, ...]:
    """Stencil weights, the maps, the mechanisms, and the kind of medium."""
    shape = scheme.grid.shape if scheme.grid.n_dims == 3 else (scheme.grid.shape[0], 1, scheme.grid.shape[1])

    def placed(values: torch.Tensor | None) -> np.ndarray:
        if values is None:
            return np.empty((0, 0, 0), dtype=real)
        return np.ascontiguousarray(values.detach().numpy().astype(real).reshape(shape))

    maps = tuple(placed(m) for m in (scheme.gain, scheme.keep, scheme.past, scheme.feed))
    relaxation = scheme.relaxation
    mechanisms: np.ndarray = np.empty((0, 3), dtype=real)
    kind = UNIFORM if scheme.keep is None else DENSE
    if relaxation is not None:
        kind = LOSSY
        back = [k * (1 - e) for k, e in zip(relaxation.weights, relaxation.decays, strict=True)]
        mechanisms = np.array([relaxation.decays, relaxation.gains, back]).T.astype(real)
    return np.array(scheme.stencil.weights, dtype=real), *maps, np.ascontiguousarray(mechanisms), kind


def _layers(scheme: Scheme, real: type) -> tuple[np.ndarray, ...]:
    """Weights of the first difference, then the coefficients of the axes z, y, x; a plane has no y."""
    axes = (
        scheme.layers if len(scheme.layers) == 3 else (scheme.layers[0], scheme.layers[0], scheme.layers[1])
    )

    def ends(axis: Layer) -> np.ndarray:
        both = torch.stack([axis.memory, axis.gain])
        return torch.stack([both[:, :ZONE].flatten(), both[:, -ZONE:].flatten()]).numpy().astype(real)

    return np.array(FIRST, dtype=real), *(ends(axis) for axis in axes)


def _silence(medium: tuple[Any, ...], real: type) -> tuple[np.ndarray, ...]:
    """Fields, layers and memories before a shot: all zero; see `steps.run`."""
    nz, ny, nx = medium[1].shape
    is_volume = ny > 1
    wave = nz + 2 * HALO, ny + 2 * HALO if is_volume else 1, nx + 2 * HALO
    shapes = (
        wave,
        wave,
        (2, ZONE + 4, ny, nx),
        (2, ZONE, ny, nx),
        (nz if is_volume else 0, 2, ZONE + 4, nx),
        (nz if is_volume else 0, 2, ZONE, nx),
        (nz, ny, 2, STRIP),
        (len(medium[5]), nz, ny, nx),
    )
    return tuple(np.zeros(shape, dtype=real) for shape in shapes)


def _in_halo(shape: tuple[int, ...], nodes: np.ndarray) -> np.ndarray:
    """Flat indices of nodes in an array with a halo around every axis."""
    index = np.unravel_index(nodes, shape)
    return np.ravel_multi_index(tuple(i + HALO for i in index), tuple(n + 2 * HALO for n in shape))


def _transform(scheme: Scheme, shots: Shots, real: type) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Runs of neighbouring cells (first node in the halo, first place, length), and the kernel (freq, 2, time)."""
    if shots.cells is None or shots.kernel is None:
        nothing = np.empty(0, dtype=np.int64)
        return (nothing, nothing, nothing), np.empty((0, 2, 0), dtype=real)
    places = _in_halo(scheme.grid.shape, shots.cells.numpy())
    first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    lengths = np.diff(first, append=len(places))
    kernel = np.stack([shots.kernel.real.numpy(), shots.kernel.imag.numpy()], axis=1)
    return (places[first], first, lengths), np.ascontiguousarray(kernel, dtype=real)
