"""The elastic propagator for CPUs: every shot runs through all of its steps on one thread.

It computes what `elastic_reference` defines. Fields have a halo, and absorbing layers a memory in their own rows or
at the two ends of every row; see `rows` for why loops are as they are.
"""

import numpy as np
import torch

from usct.forward.parallel import each
from usct.forward.time_domain.elastic import WEIGHTS, ElasticScheme, pushes
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.rows import HALO, compiled
from usct.forward.time_domain.shots import Records, Shots

VY, VX, YY, XX, YX = range(5)
"""Places of the fields."""


def propagate(scheme: ElasticScheme, shots: Shots, dtype: torch.dtype) -> Records:
    """Run shots in parallel; see `shots` for what goes in and comes out."""
    real = np.float32 if dtype == torch.float32 else np.float64
    ny, nx = scheme.grid.shape
    maps = (scheme.axial, scheme.lateral, scheme.shear, *scheme.mobility)
    medium = np.stack([values.numpy() for values in maps]).astype(real)
    # Coefficients of layers: on nodes or between, along y or x.
    layers: np.ndarray = np.zeros((2, 2, 2, max(ny, nx)), dtype=real)
    for half, own in enumerate((scheme.on_nodes, scheme.between)):
        for axis, layer in enumerate(own):
            n = scheme.grid.shape[axis]
            layers[half, axis, 0, :n], layers[half, axis, 1, :n] = layer.memory.numpy(), layer.gain.numpy()
    heights, integrals = pushes(scheme, shots)
    nodes, weights = shots.sampling.nodes.numpy(), shots.sampling.weights.numpy().astype(real)
    places = (nodes // nx + HALO) * (nx + 2 * HALO) + nodes % nx + HALO
    receives = shots.receives.numpy()
    traces: np.ndarray = np.empty((shots.n_shots, len(receives), integrals.shape[-1]), dtype=real)
    rest = np.empty(shots.n_shots)
    difference = np.array(WEIGHTS, dtype=real)

    def work(shot: int) -> None:
        senders = shots.transmits[shot].numpy()
        signals = np.ascontiguousarray(integrals[shot].numpy(), dtype=real)
        sources = places[senders], heights[shot].numpy().astype(real), signals
        fields: np.ndarray = np.zeros((5, ny + 2 * HALO, nx + 2 * HALO), dtype=real)
        rows: np.ndarray = np.zeros((4, 2 * ZONE, nx), dtype=real)
        ends: np.ndarray = np.zeros((4, ny, 2, ZONE), dtype=real)
        state = fields, rows, ends
        flushes = torch.set_flush_denormal(True)
        _run(medium, layers, difference, state, sources, (places[receives], weights[receives]), traces[shot])
        if flushes:
            torch.set_flush_denormal(False)
        rest[shot] = sum(float(np.linalg.norm(field)) for field in fields[YY:])

    each(work, range(shots.n_shots))
    return Records(torch.from_numpy(traces), None, torch.from_numpy(rest))


@compiled
def _run(medium, layers, w, state, sources, ears, traces):  # type: ignore[no-untyped-def] # compiled
    fields, rows, ends = state
    nodes, heights, signals = sources
    heard, weights = ears
    yy, xx = fields[YY].reshape(-1), fields[XX].reshape(-1)
    half = w[0] * 0 + 0.5
    for n in range(traces.shape[1]):
        for r in range(len(heard)):
            total = yy[0] - yy[0]
            for p in range(heard.shape[1]):
                total += weights[r, p] * (yy[heard[r, p]] + xx[heard[r, p]])
            traces[r, n] = -half * total
        _move(medium, layers, w, fields, rows, ends)
        _strain(medium, layers, w, fields, rows, ends)
        for s in range(len(nodes)):
            for p in range(nodes.shape[1]):
                push = heights[s, p] * signals[s, n]
                yy[nodes[s, p]] -= push
                xx[nodes[s, p]] -= push


@compiled
def _move(medium, layers, w, fields, rows, ends):  # type: ignore[no-untyped-def] # compiled
    """Velocities from stresses."""
    ny, nx = medium.shape[1:]
    one, other = np.empty(nx, fields.dtype), np.empty(nx, fields.dtype)
    for y in range(ny):
        _across(one, fields[YY], y, 1, w)
        _fade_row(one, rows[0], layers[1, 0], y, ny)
        _along(other, fields[YX, y + HALO], 0, w)
        _fade_ends(other, ends[0, y], layers[0, 1])
        _add(fields[VY, y + HALO, HALO : HALO + nx], medium[3, y], one, other)
        _along(one, fields[XX, y + HALO], 1, w)
        _fade_ends(one, ends[1, y], layers[1, 1])
        _across(other, fields[YX], y, 0, w)
        _fade_row(other, rows[1], layers[0, 0], y, ny)
        _add(fields[VX, y + HALO, HALO : HALO + nx], medium[4, y], one, other)


@compiled
def _strain(medium, layers, w, fields, rows, ends):  # type: ignore[no-untyped-def] # compiled
    """Stresses from velocities."""
    ny, nx = medium.shape[1:]
    one, other = np.empty(nx, fields.dtype), np.empty(nx, fields.dtype)
    for y in range(ny):
        _across(one, fields[VY], y, 0, w)
        _fade_row(one, rows[2], layers[0, 0], y, ny)
        _along(other, fields[VX, y + HALO], 0, w)
        _fade_ends(other, ends[2, y], layers[0, 1])
        _add_two(fields[YY, y + HALO, HALO : HALO + nx], medium[0, y], one, medium[1, y], other)
        _add_two(fields[XX, y + HALO, HALO : HALO + nx], medium[1, y], one, medium[0, y], other)
        _across(one, fields[VX], y, 1, w)
        _fade_row(one, rows[3], layers[1, 0], y, ny)
        _along(other, fields[VY, y + HALO], 1, w)
        _fade_ends(other, ends[3, y], layers[1, 1])
        _add(fields[YX, y + HALO, HALO : HALO + nx], medium[2, y], one, other)


@compiled
def _along(out, row, forth, w):  # type: ignore[no-untyped-def] # compiled
    """Difference along a row with a halo, half a cell forth (1) or back (0)."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    v = row[forth:]
    for x in range(len(out)):
        near = w0 * (v[x + 4] - v[x + 3]) + w1 * (v[x + 5] - v[x + 2])
        out[x] = near + w2 * (v[x + 6] - v[x + 1]) + w3 * (v[x + 7] - v[x])


@compiled
def _across(out, field, y, forth, w):  # type: ignore[no-untyped-def] # compiled
    """Difference across rows."""
    n, z = len(out), y + HALO + forth
    _across_rows(
        out,
        field[z - 4, HALO : HALO + n], field[z - 3, HALO : HALO + n],
        field[z - 2, HALO : HALO + n], field[z - 1, HALO : HALO + n],
        field[z, HALO : HALO + n], field[z + 1, HALO : HALO + n],
        field[z + 2, HALO : HALO + n], field[z + 3, HALO : HALO + n],
        w,
    )  # fmt: skip


@compiled
def _across_rows(out, a4, a3, a2, a1, b1, b2, b3, b4, w):  # type: ignore[no-untyped-def] # compiled
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for x in range(len(out)):
        out[x] = w0 * (b1[x] - a1[x]) + w1 * (b2[x] - a2[x]) + w2 * (b3[x] - a3[x]) + w3 * (b4[x] - a4[x])


@compiled
def _fade_row(rise, memories, layer, y, ny):  # type: ignore[no-untyped-def] # compiled
    """Absorb in a row of a layer at the first or last rows."""
    if ZONE <= y < ny - ZONE:
        return
    memory = memories[y if y < ZONE else y - ny + 2 * ZONE]
    keep, gain = layer[0, y], layer[1, y]
    for x in range(len(rise)):
        memory[x] = keep * memory[x] + gain * rise[x]
        rise[x] += memory[x]


@compiled
def _fade_ends(rise, memories, layer):  # type: ignore[no-untyped-def] # compiled
    """Absorb in the layers at both ends of a row."""
    last = len(rise) - ZONE
    for side in range(2):
        memory, part = memories[side], rise[side * last :]
        keep, gain = layer[0, side * last :], layer[1, side * last :]
        for x in range(ZONE):
            memory[x] = keep[x] * memory[x] + gain[x] * part[x]
            part[x] += memory[x]


@compiled
def _add(field, share, one, other):  # type: ignore[no-untyped-def] # compiled
    for x in range(len(field)):
        field[x] += share[x] * (one[x] + other[x])


@compiled
def _add_two(field, share, one, other_share, other):  # type: ignore[no-untyped-def] # compiled
    for x in range(len(field)):
        field[x] += share[x] * one[x] + other_share[x] * other[x]
