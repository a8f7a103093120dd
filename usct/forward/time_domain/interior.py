"""Compiled leap-frog as if there were no absorbing layers; every loop along a row vectorises.

Fields are flat and their indices unsigned: a signed index might be negative, which would mean counting from the
end, and the test for that keeps loops from vectorising. All numbers in a loop have one floating-point type. Planes
and volumes have loops of their own, because compilers rearrange no sum that has a branch in it.
"""

import numpy as np

from usct.forward.time_domain.rows import HALO, compiled

U = np.uintp


@compiled
def strides(shape):  # type: ignore[no-untyped-def] # compiled
    """Whether there is a middle axis; nodes from plane to plane and row to row, and before the first node."""
    is_volume = shape[1] > 1
    row = shape[2] + 2 * HALO
    plane = row * (shape[1] + 2 * HALO if is_volume else 1)
    return is_volume, U(plane), U(row), U(HALO * (plane + (row if is_volume else 0) + 1))


@compiled
def _plane(u, i, p, w0, w1, w2, w3, w4):  # type: ignore[no-untyped-def] # compiled
    """Sum of both second differences at node i; p nodes from row to row."""
    p2, p3, p4 = U(2) * p, U(3) * p, U(4) * p
    near = w1 * (u[i - U(1)] + u[i + U(1)] + u[i - p] + u[i + p])
    next_ = w2 * (u[i - U(2)] + u[i + U(2)] + u[i - p2] + u[i + p2])
    far = w3 * (u[i - U(3)] + u[i + U(3)] + u[i - p3] + u[i + p3])
    return w0 * u[i] + near + next_ + far + w4 * (u[i - U(4)] + u[i + U(4)] + u[i - p4] + u[i + p4])


@compiled
def _volume(u, i, p, q, w0, w1, w2, w3, w4):  # type: ignore[no-untyped-def] # compiled
    """Sum of the three second differences at node i; p nodes from plane to plane, q from row to row."""
    q2, q3, q4 = U(2) * q, U(3) * q, U(4) * q
    across = w1 * (u[i - q] + u[i + q]) + w2 * (u[i - q2] + u[i + q2])
    across += w3 * (u[i - q3] + u[i + q3]) + w4 * (u[i - q4] + u[i + q4])
    return across + _plane(u, i, p, w0, w1, w2, w3, w4)


@compiled
def uniform(u, v, gain, weights):  # type: ignore[no-untyped-def] # compiled
    """Replace the last field v by the next one in a lossless, uniformly dense medium."""
    nz, ny, nx = gain.shape
    is_volume, p, q, corner = strides(gain.shape)
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c = w0 + w0 + w0 if is_volume else w0 + w0
    old, new, gains = u.reshape(-1), v.reshape(-1), gain.reshape(-1)
    for r in range(nz * ny):
        a, g = corner + U(r // ny) * p + U(r % ny) * q, U(r * nx)
        if is_volume:
            for x in range(U(nx)):
                i = a + x
                bent = _volume(old, i, p, q, c, w1, w2, w3, w4)
                new[i] = old[i] + old[i] - new[i] + gains[g + x] * bent
        else:
            for x in range(U(nx)):
                i = a + x
                new[i] = old[i] + old[i] - new[i] + gains[g + x] * _plane(old, i, p, c, w1, w2, w3, w4)


@compiled
def dense(u, v, gain, keep, weights):  # type: ignore[no-untyped-def] # compiled
    """The same in a lossless medium of varying density."""
    nz, ny, nx = gain.shape
    is_volume, p, q, corner = strides(gain.shape)
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c = w0 + w0 + w0 if is_volume else w0 + w0
    old, new, gains, keeps = u.reshape(-1), v.reshape(-1), gain.reshape(-1), keep.reshape(-1)
    for r in range(nz * ny):
        a, g = corner + U(r // ny) * p + U(r % ny) * q, U(r * nx)
        if is_volume:
            for x in range(U(nx)):
                i = a + x
                bent = _volume(old, i, p, q, c, w1, w2, w3, w4)
                new[i] = keeps[g + x] * old[i] - new[i] + gains[g + x] * bent
        else:
            for x in range(U(nx)):
                i = a + x
                bent = _plane(old, i, p, c, w1, w2, w3, w4)
                new[i] = keeps[g + x] * old[i] - new[i] + gains[g + x] * bent


@compiled
def lossy(u, v, gain, keep, feed, memories, mechanisms, weights):  # type: ignore[no-untyped-def] # compiled
    """The same in a lossy medium, with its three memories."""
    nz, ny, nx = gain.shape
    is_volume, p, q, corner = strides(gain.shape)
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c = w0 + w0 + w0 if is_volume else w0 + w0
    old, new, gains, keeps = u.reshape(-1), v.reshape(-1), gain.reshape(-1), keep.reshape(-1)
    feeds = feed.reshape(-1)
    m1, m2, m3 = memories[0].reshape(-1), memories[1].reshape(-1), memories[2].reshape(-1)
    (e1, g1, k1), (e2, g2, k2), (e3, g3, k3) = (
        _first(mechanisms[0]),
        _first(mechanisms[1]),
        _first(mechanisms[2]),
    )
    # The weight of the last field, (1 - G) / (1 + G), follows from kappa / (1 + G).
    instant = mechanisms[0, 3]
    for r in range(nz * ny):
        a, g = corner + U(r // ny) * p + U(r % ny) * q, U(r * nx)
        if is_volume:
            for x in range(U(nx)):
                i, j = a + x, g + x
                bent = _volume(old, i, p, q, c, w1, w2, w3, w4)
                last = new[i]
                fed = feeds[j] * (k1 * m1[j] + k2 * m2[j] + k3 * m3[j] + instant * last)
                change = keeps[j] * old[i] + gains[j] * bent - last - last + fed
                new[i] = last + change
                m1[j] = e1 * m1[j] + g1 * change
                m2[j] = e2 * m2[j] + g2 * change
                m3[j] = e3 * m3[j] + g3 * change
        else:
            for x in range(U(nx)):
                i, j = a + x, g + x
                bent = _plane(old, i, p, c, w1, w2, w3, w4)
                last = new[i]
                fed = feeds[j] * (k1 * m1[j] + k2 * m2[j] + k3 * m3[j] + instant * last)
                change = keeps[j] * old[i] + gains[j] * bent - last - last + fed
                new[i] = last + change
                m1[j] = e1 * m1[j] + g1 * change
                m2[j] = e2 * m2[j] + g2 * change
                m3[j] = e3 * m3[j] + g3 * change


@compiled
def _first(mechanism):  # type: ignore[no-untyped-def] # compiled
    return mechanism[0], mechanism[1], mechanism[2]
