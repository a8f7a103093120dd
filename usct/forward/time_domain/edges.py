"""Compiled absorbing layers: what they add to the next field, block by block; see `layers` for the scheme.

A block is one side of one axis. Its slopes have two more nodes on either side along that axis, which stay zero.
Indices are flat and unsigned, for the reason told in `interior`.
"""

from usct.forward.time_domain.interior import U, strides
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.rows import compiled

DEPTH = U(ZONE)


@compiled
def _rise(u, i, step, near, far):  # type: ignore[no-untyped-def] # compiled
    """First difference at a node along an axis whose neighbours are `step` apart."""
    return near * (u[i + step] - u[i - step]) + far * (u[i + U(2) * step] - u[i - U(2) * step])


@compiled
def _bend(u, i, step, w):  # type: ignore[no-untyped-def] # compiled
    """Second difference at a node along an axis."""
    two, three, four = U(2) * step, U(3) * step, U(4) * step
    near = w[1] * (u[i - step] + u[i + step]) + w[2] * (u[i - two] + u[i + two])
    return w[0] * u[i] + near + w[3] * (u[i - three] + u[i + three]) + w[4] * (u[i - four] + u[i + four])


@compiled
def along(u, v, gain, weights, first, layer, slope, bend, change, side):  # type: ignore[no-untyped-def] # compiled
    """One end of all rows; `change` becomes what was added to v, (row, ZONE)."""
    nz, ny, nx = gain.shape
    _, plane, row, corner = strides(gain.shape)
    near, far = first[0], first[1]
    w = weights[0], weights[1], weights[2], weights[3], weights[4]
    memory, loss = layer[side, :ZONE], layer[side, ZONE:]
    away = U(side * (nx - ZONE))
    old, new, gains = u.reshape(-1), v.reshape(-1), gain.reshape(-1)
    slopes, bends, changes = slope.reshape(-1), bend.reshape(-1), change.reshape(-1)
    wide = DEPTH + U(4)
    for z in range(U(nz)):
        for y in range(U(ny)):
            r = z * U(ny) + y
            a = corner + z * plane + y * row + away
            s, b, g = r * wide + U(2), r * DEPTH, r * U(nx) + away
            for x in range(DEPTH):
                slopes[s + x] = memory[x] * slopes[s + x] + loss[x] * _rise(old, a + x, U(1), near, far)
            for x in range(DEPTH):
                more = _rise(slopes, s + x, U(1), near, far)
                bent = memory[x] * bends[b + x] + loss[x] * (_bend(old, a + x, U(1), w) + more)
                bends[b + x] = bent
                changes[b + x] = gains[g + x] * (more + bent)
            for x in range(DEPTH):
                new[a + x] += changes[b + x]


@compiled
def across(u, v, gain, weights, first, layer, slope, bend, change, side, axis):  # type: ignore[no-untyped-def] # compiled
    """One end of axis z (0) or y (1); `change` becomes what was added to v, in the shape of `bend`."""
    nz, ny, nx = gain.shape
    _, plane, row, corner = strides(gain.shape)
    near, far = first[0], first[1]
    w = weights[0], weights[1], weights[2], weights[3], weights[4]
    memory, loss = layer[side, :ZONE], layer[side, ZONE:]
    old, new, gains = u.reshape(-1), v.reshape(-1), gain.reshape(-1)
    slopes, bends, changes = slope.reshape(-1), bend.reshape(-1), change.reshape(-1)
    n, others = (ny, nz) if axis else (nz, ny)
    away = U(side * (n - ZONE))
    # Neighbours along the axis: in the field, in the block. Rows beside each other: in the field, the map, the block.
    step, apart = (row, U(nx)) if axis else (plane, U(ny * nx))
    beside, map_step, map_beside = (plane, U(nx), U(ny * nx)) if axis else (row, U(ny * nx), U(nx))
    slope_beside = U((ZONE + 4) * nx) if axis else U(nx)
    bend_beside = U(ZONE * nx) if axis else U(nx)
    for o in range(U(others)):
        for j in range(DEPTH):
            m, q = memory[j], loss[j]
            a = corner + (j + away) * step + o * beside
            s = (j + U(2)) * apart + o * slope_beside
            for x in range(U(nx)):
                slopes[s + x] = m * slopes[s + x] + q * _rise(old, a + x, step, near, far)
        for j in range(DEPTH):
            m, q = memory[j], loss[j]
            a = corner + (j + away) * step + o * beside
            s = (j + U(2)) * apart + o * slope_beside
            b = j * apart + o * bend_beside
            g = (j + away) * map_step + o * map_beside
            for x in range(U(nx)):
                more = _rise(slopes, s + x, apart, near, far)
                bent = m * bends[b + x] + q * (_bend(old, a + x, step, w) + more)
                bends[b + x] = bent
                changes[b + x] = gains[g + x] * (more + bent)
            for x in range(U(nx)):
                new[a + x] += changes[b + x]


@compiled
def remember(memories, mechanisms, change, z, y, x):  # type: ignore[no-untyped-def] # compiled
    """Let the memories of a lossy medium take part in a change of a block of the new field, at (z, y, x)."""
    ny, nx = memories.shape[2], memories.shape[3]
    changes = change.reshape(-1)
    width = U(change.shape[2])
    for m in range(len(mechanisms)):
        own, gain = memories[m].reshape(-1), mechanisms[m, 1]
        for j in range(change.shape[0]):
            for k in range(change.shape[1]):
                a = U(((z + j) * ny + y + k) * nx + x)
                b = U(j * change.shape[1] + k) * width
                for i in range(width):
                    own[a + i] += gain * changes[b + i]
