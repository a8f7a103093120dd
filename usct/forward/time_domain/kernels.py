"""One leap-frog step as one Triton kernel: stencil, absorbing layers, losses, sources and receivers together.

A program advances a piece of one row of one shot; those past the last row record receivers instead, from the field
that is not written. Slopes of the layers are kept twice, before and after, so that a node can work out its
neighbours' for itself instead of waiting for them. The number of the step is read from memory: a step can be
captured once and replayed.
"""

import triton
import triton.language as tl


@triton.jit
def _second(u, a, step, w0, w1, w2, w3, w4, ok):
    """Second difference along an axis."""
    total = w0 * tl.load(u + a, mask=ok, other=0.0)
    total += w1 * (tl.load(u + a - step, mask=ok, other=0.0) + tl.load(u + a + step, mask=ok, other=0.0))
    total += w2 * (
        tl.load(u + a - 2 * step, mask=ok, other=0.0) + tl.load(u + a + 2 * step, mask=ok, other=0.0)
    )
    total += w3 * (
        tl.load(u + a - 3 * step, mask=ok, other=0.0) + tl.load(u + a + 3 * step, mask=ok, other=0.0)
    )
    total += w4 * (
        tl.load(u + a - 4 * step, mask=ok, other=0.0) + tl.load(u + a + 4 * step, mask=ok, other=0.0)
    )
    return total


@triton.jit
def _slope(
    u, a, step, place, n, coefficients, old, base, apart, d: tl.constexpr, near, far, ok, zone: tl.constexpr
):
    """Slope after this step at the node d further along, zero outside the layers."""
    q = place + d
    valid = ok & (q >= 0) & (q < n) & ((q < zone) | (q >= n - zone))
    row = tl.where(q < zone, q, q - (n - 2 * zone))
    memory = tl.load(coefficients + q, mask=valid, other=0.0)
    loss = tl.load(coefficients + n + q, mask=valid, other=0.0)
    b = a + d * step
    rise = near * (
        tl.load(u + b + step, mask=valid, other=0.0) - tl.load(u + b - step, mask=valid, other=0.0)
    )
    rise += far * (
        tl.load(u + b + 2 * step, mask=valid, other=0.0) - tl.load(u + b - 2 * step, mask=valid, other=0.0)
    )
    return memory * tl.load(old + base + row * apart, mask=valid, other=0.0) + loss * rise


@triton.jit
def _layer(
    u,
    a,
    step,
    place,
    n,
    coefficients,
    old,
    new,
    bends,
    base,
    apart,
    second,
    near,
    far,
    ok,
    zone: tl.constexpr,
):
    """Advance a layer, and what it adds to the second difference along its axis."""
    ok = ok & ((place < zone) | (place >= n - zone))
    row = tl.where(place < zone, place, place - (n - 2 * zone))
    at = base + row * apart
    own = _slope(u, a, step, place, n, coefficients, old, base, apart, 0, near, far, ok, zone)
    tl.store(new + at, own, mask=ok)
    ahead = _slope(u, a, step, place, n, coefficients, old, base, apart, 1, near, far, ok, zone)
    behind = _slope(u, a, step, place, n, coefficients, old, base, apart, -1, near, far, ok, zone)
    more = near * (ahead - behind)
    ahead = _slope(u, a, step, place, n, coefficients, old, base, apart, 2, near, far, ok, zone)
    behind = _slope(u, a, step, place, n, coefficients, old, base, apart, -2, near, far, ok, zone)
    more += far * (ahead - behind)
    memory = tl.load(coefficients + place, mask=ok, other=0.0)
    loss = tl.load(coefficients + n + place, mask=ok, other=0.0)
    bend = memory * tl.load(bends + at, mask=ok, other=0.0) + loss * (second + more)
    tl.store(bends + at, bend, mask=ok)
    return tl.where(ok, more + bend, 0.0)


@triton.jit
def _record(
    u,
    shot,
    ears,
    ear_weights,
    traces,
    n,
    n_steps,
    n_receivers,
    first,
    patch: tl.constexpr,
    width: tl.constexpr,
):
    """Traces of some receivers of one shot."""
    r = first + tl.arange(0, width)
    ok = r < n_receivers
    heard = tl.load(ear_weights + r * patch, mask=ok, other=0.0) * tl.load(
        u + tl.load(ears + r * patch, mask=ok, other=0), mask=ok, other=0.0
    )
    for p in range(1, patch):
        node = tl.load(ears + r * patch + p, mask=ok, other=0)
        heard += tl.load(ear_weights + r * patch + p, mask=ok, other=0.0) * tl.load(
            u + node, mask=ok, other=0.0
        )
    tl.store(traces + (shot * n_receivers + r) * n_steps + n, heard, mask=ok)


@triton.jit
def _push(
    a, shot, spots, heights, signals, n, n_steps, n_signals, spot_count: tl.constexpr, patch: tl.constexpr
):
    """What the sources of a shot send at nodes a."""
    which = shot % n_signals
    sent = tl.load(signals + which * (spot_count // patch) * n_steps + n)
    total = tl.where(
        a == tl.load(spots + shot * spot_count), tl.load(heights + shot * spot_count) * sent, 0.0
    )
    for s in range(1, spot_count):
        node = tl.load(spots + shot * spot_count + s)
        sent = tl.load(signals + (which * (spot_count // patch) + s // patch) * n_steps + n)
        total += tl.where(a == node, tl.load(heights + shot * spot_count + s) * sent, 0.0)
    return total


@triton.jit
def _change(u, v, a, g, total, gain, keep, is_dense: tl.constexpr, ok):
    """New field less the last one, before losses."""
    now = tl.load(u + a, mask=ok, other=0.0)
    change = tl.load(gain + g, mask=ok, other=0.0) * total - 2.0 * tl.load(v + a, mask=ok, other=0.0)
    if is_dense:
        change += tl.load(keep + g, mask=ok, other=0.0) * now
    else:
        change += 2.0 * now
    return change


@triton.jit
def _relax(change, last, feed, own, apart, mechanisms, ok, n_mechanisms: tl.constexpr):
    """Feed memories back into a change of the field, and it into them."""
    fed = tl.load(mechanisms + 3) * last
    for m in tl.static_range(n_mechanisms):
        fed += tl.load(mechanisms + 4 * m + 2) * tl.load(own + m * apart, mask=ok, other=0.0)
    change += feed * fed
    for m in tl.static_range(n_mechanisms):
        memory = tl.load(mechanisms + 4 * m) * tl.load(own + m * apart, mask=ok, other=0.0)
        tl.store(own + m * apart, memory + tl.load(mechanisms + 4 * m + 1) * change, mask=ok)
    return change


@triton.jit
def advance(
    u, v, gain, keep, feed, memories, mechanisms,
    old_z, new_z, bend_z, old_y, new_y, bend_y, old_x, new_x, bend_x, layer_z, layer_y, layer_x,
    spots, reach, heights, signals, ears, ear_weights, traces, counter,
    weights, nz, ny, nx, n_shots, n_steps, n_signals, n_receivers,
    is_volume: tl.constexpr, is_dense: tl.constexpr, n_mechanisms: tl.constexpr,
    zone: tl.constexpr, halo: tl.constexpr, spot_count: tl.constexpr, patch: tl.constexpr, ear_patch: tl.constexpr,
    width: tl.constexpr,
):  # fmt: skip
    """See `fused.Stepper.step` for what the arguments are."""
    row, shot = tl.program_id(1), tl.program_id(2).to(tl.int64)
    n = tl.load(counter)
    w0, w1, w2 = tl.load(weights), tl.load(weights + 1), tl.load(weights + 2)
    w3, w4 = tl.load(weights + 3), tl.load(weights + 4)
    near, far = tl.load(weights + 5), tl.load(weights + 6)
    pitch = nx + 2 * halo
    plane = pitch * (ny + 2 * halo) if is_volume else pitch
    n_field = (nz + 2 * halo) * plane
    u += shot * n_field
    v += shot * n_field
    if row >= nz * ny:
        first = ((row - nz * ny) * tl.num_programs(0) + tl.program_id(0)) * width
        if first < n_receivers:
            _record(u, shot, ears, ear_weights, traces, n, n_steps, n_receivers, first, ear_patch, width)
    else:
        z, y = row // ny, row % ny
        x = tl.program_id(0) * width + tl.arange(0, width)
        ok = x < nx
        origin = (z + halo) * plane + ((y + halo) * pitch if is_volume else 0) + halo
        a = origin + x
        g = row * nx + x
        across = _second(u, a, plane, w0, w1, w2, w3, w4, ok)
        along = _second(u, a, 1, w0, w1, w2, w3, w4, ok)
        total = across + along
        at_x = shot * nz * ny * 2 * zone + row * 2 * zone
        total += _layer(u, a, 1, x, nx, layer_x, old_x, new_x, bend_x, at_x, 1, along, near, far, ok, zone)
        if (z < zone) | (z >= nz - zone):
            at_z = shot * 2 * zone * ny * nx + y * nx + x
            total += _layer(
                u, a, plane, z + 0 * x, nz, layer_z, old_z, new_z, bend_z, at_z, ny * nx, across, near, far, ok, zone
            )  # fmt: skip
        if is_volume:
            middle = _second(u, a, pitch, w0, w1, w2, w3, w4, ok)
            total += middle
            if (y < zone) | (y >= ny - zone):
                at_y = (shot * nz + z) * 2 * zone * nx + x
                total += _layer(
                    u, a, pitch, y + 0 * x, ny, layer_y, old_y, new_y, bend_y, at_y, nx, middle, near, far, ok, zone
                )  # fmt: skip
        # Sources, where this piece of a row may hold some of their nodes.
        start = origin + tl.program_id(0) * width
        if (start <= tl.load(reach + 2 * shot + 1)) & (start + width > tl.load(reach + 2 * shot)):
            total += _push(a, shot, spots, heights, signals, n, n_steps, n_signals, spot_count, patch)
        change = _change(u, v, a, g, total, gain, keep, is_dense, ok)
        last = tl.load(v + a, mask=ok, other=0.0)
        if n_mechanisms > 0:
            own = memories + shot * nz * ny * nx + g
            fed = tl.load(feed + g, mask=ok, other=0.0)
            change = _relax(change, last, fed, own, n_shots * nz * ny * nx, mechanisms, ok, n_mechanisms)
        tl.store(v + a, last + change, mask=ok)
