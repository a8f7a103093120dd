"""Compiled leap-frog: one shot from silence to the end of its record.

Maps have the shape (z, y, x); a plane grid is a volume whose middle axis has one node and no halo.
"""

import numpy as np

from usct.forward.time_domain import edges, interior, rows
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
        state: Field and last field with halo; slopes and bends of z, y and x, each (side, *block), see `edges`;
            memories. All zero before a shot. After an odd number of steps the first two have changed places.
        sources: Flat nodes (sender, patch) in the halo, heights, signals (sender, time).
        ears: Flat nodes (rx, patch) in the halo, and weights.
        listening: Traces to fill, shape (rx, time).
        runs: First node in the halo, first place and length of runs of cells.
        transform: Kernel (freq, 2, time); one step in how many; values to add to, shape (freq, 2, cell).
        tape: 1 to keep the cells of every step, -1 to add their product with the rows of the tape, last row
            first, 0 for nothing; rows (time, cell); sums (cell,).
    """
    u, v, slope_z, bend_z, slope_y, bend_y, slope_x, bend_x, memories = state
    weights, gain, keep, feed, mechanisms, kind = medium
    first, layer_z, layer_y, layer_x = layers
    signals = sources[2]
    nz, ny, nx = gain.shape
    change_z, change_y, change_x = (
        np.empty(bend_z.shape[1:], u.dtype), np.empty(bend_y.shape[1:], u.dtype), np.empty(bend_x.shape[1:], u.dtype),
    )  # fmt: skip
    for n in range(signals.shape[1]):
        _listen(u.reshape(-1), ears, listening, n)
        if n % transform[1] == 0:
            _transform(u.reshape(-1), runs, transform, n)
        if tape[0] != 0:
            _tape(u.reshape(-1), runs, tape, n)
        if kind == 0:
            interior.uniform(u, v, gain, weights)
        elif kind == 1:
            interior.dense(u, v, gain, keep, weights)
        else:
            interior.lossy(u, v, gain, keep, feed, memories, mechanisms, weights)
        for side in range(2):
            edges.across(u, v, gain, weights, first, layer_z, slope_z[side], bend_z[side], change_z, side, 0)
            edges.remember(memories, mechanisms, change_z, side * (nz - ZONE), 0, 0)
            edges.along(u, v, gain, weights, first, layer_x, slope_x[side], bend_x[side], change_x, side)
            edges.remember(memories, mechanisms, change_x, 0, 0, side * (nx - ZONE))
            if ny > 1:
                edges.across(
                    u, v, gain, weights, first, layer_y, slope_y[side], bend_y[side], change_y, side, 1
                )
                edges.remember(memories, mechanisms, change_y, 0, side * (ny - ZONE), 0)
        _push(v.reshape(-1), u.shape, sources, mechanisms, memories, n)
        u, v = v, u
    return _norm(u.reshape(-1)) + _norm(v.reshape(-1))


@compiled
def retreat(medium, u, v, sources, places, rim, kept):  # type: ignore[no-untyped-def] # compiled
    """Take steps back in a lossless medium without layers, from u, the later field, and v, the one before.

    Args:
        medium: See `run`.
        u: With a halo; v as well. After an odd number of steps they have changed places.
        v: See u.
        sources: Flat nodes (sender, patch) in the halo, heights, signals (sender, time).
        places: Flat nodes of the rim and of the cells in the halo.
        rim: Field just outside before every step, shape (time, node).
        kept: Field before every step to fill, and one more on either side, shape (time + 2, cell).
    """
    weights, gain, keep, _, _, kind = medium
    outside, cells = places
    nodes, heights, signals = sources
    _copy(kept[len(rim) + 1], u.reshape(-1), cells)
    for n in range(len(rim) - 1, -1, -1):
        now = v.reshape(-1)
        for i in range(len(outside)):
            now[outside[i]] = rim[n, i]
        _copy(kept[n + 1], now, cells)
        if kind == 0:
            interior.uniform(v, u, gain, weights)
        else:
            interior.dense(v, u, gain, keep, weights)
        before = u.reshape(-1)
        for s in range(len(nodes)):
            for p in range(nodes.shape[1]):
                before[nodes[s, p]] += heights[s, p] * signals[s, n]
        u, v = v, u
    _copy(kept[0], v.reshape(-1), cells)


@compiled
def _copy(out, values, places):  # type: ignore[no-untyped-def] # compiled
    for i in range(len(places)):
        out[i] = values[places[i]]


@compiled
def relax(fields, memories, mechanisms, strength, bends):  # type: ignore[no-untyped-def] # compiled
    """What a lossy medium does to the fields of some steps, cell by cell.

    Args:
        fields: Before every step, one more on either side, shape (time + 2, cell).
        memories: Before the first, shape (mechanism, cell); those after the last when done.
        mechanisms: See `run`.
        strength: kappa, shape (cell,).
        bends: To fill, shape (time, 2 cell): the second difference in time plus kappa times what mechanisms do, and
            what they do.
    """
    n_cells = len(strength)
    half = fields.dtype.type(0.5) * mechanisms[0, 3]
    for n in range(len(bends)):
        last, now, new = fields[n], fields[n + 1], fields[n + 2]
        first, second = bends[n, :n_cells], bends[n, n_cells:]
        for x in range(n_cells):
            second[x] = half * (new[x] - last[x])
        for m in range(len(mechanisms)):
            decay, gain, back = mechanisms[m, 0], mechanisms[m, 1], mechanisms[m, 2]
            own = memories[m]
            for x in range(n_cells):
                second[x] -= back * own[x]
                own[x] = decay * own[x] + gain * (new[x] - last[x])
        for x in range(n_cells):
            first[x] = new[x] - now[x] - now[x] + last[x] + strength[x] * second[x]


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
