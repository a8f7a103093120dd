"""Compiled leap-frog: one shot from silence to the end of its record.

Maps have the shape (z, y, x); a plane grid is a volume whose middle axis has one node and no halo.
"""

import numpy as np

from usct.forward.time_domain import rows
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.rows import HALO, compiled


@compiled
def run(medium, layers, state, sources, ears, listening, runs, transform, tape):  # type: ignore[no-untyped-def] # compiled
    """Run a shot or a part of one; returns the sum of the 2-norms of the last two fields.

    Args:
        medium: Stencil weights, gain, keep, feed, three mechanisms (decay, gain, feed back, and twice the
            instant share of all) or none, and the kind.
        layers: First-difference weights; for the axes z, y and x, memories and then losses at both ends, each of
            shape (2, 2 ZONE).
        state: Field and last field with halo; slopes and bends for z and y; both for x (see `rows.strip`);
            memories. All zero before a shot. After an odd number of steps the first two have changed places.
        sources: Flat nodes (sender, patch) in the halo, heights, signals (sender, time).
        ears: Flat nodes (rx, patch) in the halo, and weights.
        listening: Traces to fill, shape (rx, time).
        runs: First node in the halo, first place and length of runs of cells.
        transform: Kernel (freq, 2, time); one step in how many; values to add to, shape (freq, 2, cell).
        tape: 1 to keep the cells of every step, -1 to add their product with the rows of the tape, last row
            first, 0 for nothing; rows (time, cell); sums (cell,).
    """
    u, v, slope_z, bend_z, slope_y, bend_y, strips, memories = state
    weights, gain, keep, feed, mechanisms, kind = medium
    first, layer_z, layer_y, layer_x = layers
    signals = sources[2]
    for n in range(signals.shape[1]):
        _listen(u.reshape(-1), ears, listening, n)
        if n % transform[1] == 0:
            _transform(u.reshape(-1), runs, transform, n)
        if tape[0] != 0:
            _tape(u.reshape(-1), runs, tape, n)
        _advance_layers(u, weights, first, layer_z, layer_y, layer_x, slope_z, slope_y, strips)
        _advance(
            u, v, weights, gain, keep, feed, mechanisms, kind,
            first, layer_z, layer_y,
            slope_z, bend_z, slope_y, bend_y, strips, memories,
        )  # fmt: skip
        _push(v.reshape(-1), u.shape, sources, mechanisms, memories, n)
        u, v = v, u
    return _norm(u.reshape(-1)) + _norm(v.reshape(-1))


@compiled
def _norm(values):  # type: ignore[no-untyped-def] # compiled
    total = 0.0
    for value in values:
        total += np.float64(value) * np.float64(value)
    return np.sqrt(total)


@compiled
def _listen(u, ears, traces, n):  # type: ignore[no-untyped-def] # compiled
    nodes, weights = ears
    for r in range(len(nodes)):
        heard = u[0] - u[0]
        for p in range(nodes.shape[1]):
            heard += weights[r, p] * u[nodes[r, p]]
        traces[r, n] = heard


@compiled
def _transform(u, runs, transform, n):  # type: ignore[no-untyped-def] # compiled
    firsts, places, lengths = runs
    kernel, _, values = transform
    for j in range(len(firsts)):
        a, p, m = firsts[j], places[j], lengths[j]
        for k in range(len(kernel)):
            rows.accumulate(
                values[k, 0, p : p + m],
                values[k, 1, p : p + m],
                u[a : a + m],
                kernel[k, 0, n],
                kernel[k, 1, n],
            )


@compiled
def _tape(u, runs, tape, n):  # type: ignore[no-untyped-def] # compiled
    firsts, places, lengths = runs
    mode, kept, sums = tape
    for j in range(len(firsts)):
        a, p, m = firsts[j], places[j], lengths[j]
        if mode > 0:
            kept[n, p : p + m] = u[a : a + m]
        else:
            rows.add_product(sums[p : p + m], kept[len(kept) - 1 - n, p : p + m], u[a : a + m])


@compiled
def _push(v, shape, sources, mechanisms, memories, n):  # type: ignore[no-untyped-def] # compiled
    nodes, heights, signals = sources
    for s in range(len(nodes)):
        for p in range(nodes.shape[1]):
            push = heights[s, p] * signals[s, n]
            v[nodes[s, p]] += push
            if len(mechanisms) > 0:
                x = nodes[s, p] % shape[2] - HALO
                y = nodes[s, p] // shape[2] % shape[1] - (HALO if shape[1] > 1 else 0)
                z = nodes[s, p] // (shape[2] * shape[1]) - HALO
                for m in range(len(mechanisms)):
                    memories[m, z, y, x] += mechanisms[m, 1] * push


@compiled
def _advance_layers(  # type: ignore[no-untyped-def] # compiled
    u, weights, first, layer_z, layer_y, layer_x, slope_z, slope_y, strips
):
    """What the layers take from the field alone: slopes across rows, and all that happens along rows."""
    nz, ny = strips.shape[:2]
    nx = slope_z.shape[3]
    deep = HALO if ny > 1 else 0
    near, far = first[0], first[1]
    for side in range(2):
        coefficients = layer_x[side]
        a = side * (nx - ZONE)
        for z in range(nz):
            for y in range(ny):
                row = u[z + HALO, y + deep, a : a + ZONE + 2 * HALO]
                rows.strip(row, strips[z, y, side], weights, near, far, coefficients)
        for j in range(ZONE):
            memory, loss = layer_z[side, j], layer_z[side, j + ZONE]
            z = j + HALO + side * (nz - ZONE)
            for y in range(ny):
                rows.slope_across(slope_z[side, j + 2, y], u, z, y + deep, 1, 0, near, far, memory, loss)
            memory, loss = layer_y[side, j], layer_y[side, j + ZONE]
            y = j + HALO + side * (ny - ZONE)
            for z in range(len(slope_y)):
                rows.slope_across(slope_y[z, side, j + 2], u, z + HALO, y, 0, 1, near, far, memory, loss)


@compiled
def _advance(  # type: ignore[no-untyped-def] # compiled
    u, v, weights, gain, keep, feed, mechanisms, kind,
    first, layer_z, layer_y,
    slope_z, bend_z, slope_y, bend_y, strips, memories,
):  # fmt: skip
    # Arrays come one by one: taking them out of tuples, row by row, costs more than the arithmetic.
    nz, ny, nx = gain.shape
    deep = HALO if ny > 1 else 0
    total, other = np.empty(nx, u.dtype), np.empty(nx, u.dtype)
    for z in range(nz):
        for y in range(ny):
            row = u[z + HALO, y + deep]
            rows.second_across(total, u, z + HALO, y + deep, 1, 0, weights)
            side, j = _place(z, nz)
            if side < 2:
                around = slope_z[side, j : j + 5, y]
                rows.bend_across(
                    total, bend_z[side, j, y], around, first, layer_z[side, j], layer_z[side, j + ZONE]
                )
            if ny > 1:
                rows.second_across(other, u, z + HALO, y + deep, 0, 1, weights)
                side, j = _place(y, ny)
                if side < 2:
                    around = slope_y[z, side, j : j + 5]
                    rows.bend_across(
                        other, bend_y[z, side, j], around, first, layer_y[side, j], layer_y[side, j + ZONE]
                    )
                rows.add(total, other)
            rows.add_strip(total, strips[z, y, 0])
            rows.add_strip(total[nx - ZONE :], strips[z, y, 1])
            new = v[z + HALO, y + deep, HALO : HALO + nx]
            if kind == 0:
                rows.finish(new, row, total, gain[z, y], weights)
            elif kind == 1:
                rows.finish_dense(new, row, total, gain[z, y], keep[z, y], weights)
            else:
                rows.finish_lossy(
                    new, row, total, gain[z, y], keep[z, y], feed[z, y],
                    memories[0, z, y], memories[1, z, y], memories[2, z, y], mechanisms, other, weights,
                )  # fmt: skip


@compiled
def _place(index, n):  # type: ignore[no-untyped-def] # compiled
    """Which layer a node lies in and where, (2, 0) for none."""
    if index < ZONE:
        return 0, index
    if index >= n - ZONE:
        return 1, index - (n - ZONE)
    return 2, 0
