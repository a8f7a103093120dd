"""Compiled leap-frog: one shot from silence to the end of its record.

Maps have the shape (z, y, x); a plane grid is a volume whose middle axis has one node and no halo.
"""

import numpy as np

from usct.forward.time_domain import rows
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.rows import HALO, compiled


@compiled
def run(medium, layers, state, sources, ears, listening, transform):  # type: ignore[no-untyped-def] # compiled
    """Run a shot; returns the sum of the 2-norms of the last two fields.

    Args:
        medium: Stencil weights, gain, keep, past, feed, mechanisms (decay, gain, feed back), and the kind.
        layers: First-difference weights; memories and losses of the axes z, y, x, each of shape (2, ZONE).
        state: Field and last field with halo; slopes and bends for z, y, x; memories. All zero.
        sources: Flat nodes (sender, patch) in the halo, heights, signals (sender, time).
        ears: Flat nodes (rx, patch) in the halo, and weights.
        listening: Traces to fill, shape (rx, time).
        transform: First node, first place and length of runs of cells; kernel (freq, 2, time); one step in
            how many; values to add to, shape (freq, 2, cell).
    """
    u, v = state[0], state[1]
    signals = sources[2]
    for n in range(signals.shape[1]):
        _listen(u.reshape(-1), ears, listening, n)
        if n % transform[4] == 0:
            _transform(u.reshape(-1), transform, n)
        _advance(u, v, medium, layers, state)
        _push(v.reshape(-1), u.shape, sources, medium, state[8], n)
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
def _transform(u, transform, n):  # type: ignore[no-untyped-def] # compiled
    firsts, places, lengths, kernel, _, values = transform
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
def _push(v, shape, sources, medium, memories, n):  # type: ignore[no-untyped-def] # compiled
    nodes, heights, signals = sources
    mechanisms = medium[5]
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
def _advance(u, v, medium, layers, state):  # type: ignore[no-untyped-def] # compiled
    first, memory_z, loss_z, memory_y, loss_y = layers[:5]
    slope_z, slope_y = state[2], state[4]
    nz, ny, nx = medium[1].shape
    deep = HALO if ny > 1 else 0
    total, other = np.empty(nx, u.dtype), np.empty(nx, u.dtype)
    for side in range(2):
        for j in range(ZONE):
            z = j + HALO + side * (nz - ZONE)
            for y in range(ny):
                rows.slope_across(
                    slope_z[side, j + 2, y], u, z, y + deep, 1, 0, first, memory_z[side, j], loss_z[side, j]
                )
    for z in range(nz):
        for side in range(2 if ny > 1 else 0):
            for j in range(ZONE):
                y = j + HALO + side * (ny - ZONE)
                rows.slope_across(
                    slope_y[z, side, j + 2], u, z + HALO, y, 0, 1, first, memory_y[side, j], loss_y[side, j]
                )
        for y in range(ny):
            _sum(total, other, u, z, y, medium[0], layers, state)
            _finish(
                u[z + HALO, y + deep],
                v[z + HALO, y + deep, HALO : HALO + nx],
                total,
                other,
                z,
                y,
                medium,
                state,
            )


@compiled
def _place(index, n):  # type: ignore[no-untyped-def] # compiled
    """Which layer a node lies in and where, (2, 0) for none."""
    if index < ZONE:
        return 0, index
    if index >= n - ZONE:
        return 1, index - (n - ZONE)
    return 2, 0


@compiled
def _sum(total, other, u, z, y, weights, layers, state):  # type: ignore[no-untyped-def] # compiled
    """All of the stretched Laplacian of a row but the plain second difference along it."""
    first, memory_z, loss_z, memory_y, loss_y, memory_x, loss_x = layers
    slope_z, bend_z, slope_y, bend_y, slope_x, bend_x = state[2:8]
    nz, ny, nx = slope_x.shape[0], slope_x.shape[1], len(total)
    deep = HALO if ny > 1 else 0
    rows.second_across(total, u, z + HALO, y + deep, 1, 0, weights)
    side, j = _place(z, nz)
    if side < 2:
        s = slope_z[side]
        rows.bend_across(
            total, bend_z[side, j, y], s[j, y], s[j + 1, y], s[j + 3, y], s[j + 4, y],
            first, memory_z[side, j], loss_z[side, j],
        )  # fmt: skip
    if ny > 1:
        rows.second_across(other, u, z + HALO, y + HALO, 0, 1, weights)
        side, j = _place(y, ny)
        if side < 2:
            s = slope_y[z, side]
            rows.bend_across(
                other, bend_y[z, side, j], s[j], s[j + 1], s[j + 3], s[j + 4],
                first, memory_y[side, j], loss_y[side, j],
            )  # fmt: skip
        rows.add(total, other)
    for side in range(2):
        start = side * (nx - ZONE)
        rows.strip(
            total[start : start + ZONE],
            u[z + HALO, y + deep, start : start + ZONE + 2 * HALO],
            slope_x[z, y, side],
            bend_x[z, y, side],
            weights,
            first,
            memory_x[side],
            loss_x[side],
        )


@compiled
def _finish(row, new, total, change, z, y, medium, state):  # type: ignore[no-untyped-def] # compiled
    weights, gain, keep, past, feed, mechanisms, kind = medium
    if kind == 0:
        rows.finish(new, row, total, gain[z, y], weights)
    elif kind == 1:
        rows.finish_dense(new, row, total, gain[z, y], keep[z, y], weights)
    else:
        memories = state[8]
        change[:] = change.dtype.type(0)
        for m in range(len(mechanisms)):
            rows.collect(change, memories[m, z, y], mechanisms[m, 2])
        rows.finish_lossy(new, row, total, gain[z, y], keep[z, y], past[z, y], feed[z, y], change, weights)
        for m in range(len(mechanisms)):
            rows.remember(memories[m, z, y], change, mechanisms[m, 0], mechanisms[m, 1])
