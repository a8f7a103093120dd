"""Compiled arithmetic on rows of the grid; every loop here vectorises.

Loops run over one index of contiguous rows, and everything in a loop has one floating-point type: an integer
factor would promote it to double. Loops over the strips of the absorbing layers have a constant length.
"""

import numba

from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.stencil import HALF_WIDTH

HALO = HALF_WIDTH
BENDS = ZONE + 4
RESULTS = 2 * ZONE + 4
STRIP = 3 * ZONE + 4
"""Where what is in the layer at an end of a row; see `strip`."""

compiled = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


@compiled
def second_across(out, u, z, y, dz, dy, w):  # type: ignore[no-untyped-def] # compiled
    """Second difference of a row across the rows that are (dz, dy) apart."""
    n = len(out)
    _second_across(
        out,
        u[z - 4 * dz, y - 4 * dy, HALO : HALO + n],
        u[z - 3 * dz, y - 3 * dy, HALO : HALO + n],
        u[z - 2 * dz, y - 2 * dy, HALO : HALO + n],
        u[z - dz, y - dy, HALO : HALO + n],
        u[z, y, HALO : HALO + n],
        u[z + dz, y + dy, HALO : HALO + n],
        u[z + 2 * dz, y + 2 * dy, HALO : HALO + n],
        u[z + 3 * dz, y + 3 * dy, HALO : HALO + n],
        u[z + 4 * dz, y + 4 * dy, HALO : HALO + n],
        w,
    )


@compiled
def _second_across(out, a4, a3, a2, a1, c, b1, b2, b3, b4, w):  # type: ignore[no-untyped-def] # compiled
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for x in range(len(out)):
        sides = w1 * (a1[x] + b1[x]) + w2 * (a2[x] + b2[x]) + w3 * (a3[x] + b3[x]) + w4 * (a4[x] + b4[x])
        out[x] = w0 * c[x] + sides


@compiled
def add(out, more):  # type: ignore[no-untyped-def] # compiled
    """Add a row to another."""
    for x in range(len(out)):
        out[x] += more[x]


@compiled
def add_strip(out, own):  # type: ignore[no-untyped-def] # compiled
    """Add the results of a strip to ZONE entries."""
    for x in range(ZONE):
        out[x] += own[x + RESULTS]


@compiled
def slope_across(slope, u, z, y, dz, dy, near, far, memory, loss):  # type: ignore[no-untyped-def] # compiled
    """Advance a layer's convolution of the first difference across the rows that are (dz, dy) apart."""
    n = len(slope)
    _slope_across(
        slope,
        u[z - 2 * dz, y - 2 * dy, HALO : HALO + n],
        u[z - dz, y - dy, HALO : HALO + n],
        u[z + dz, y + dy, HALO : HALO + n],
        u[z + 2 * dz, y + 2 * dy, HALO : HALO + n],
        near,
        far,
        memory,
        loss,
    )


@compiled
def _slope_across(slope, a2, a1, b1, b2, near, far, memory, loss):  # type: ignore[no-untyped-def] # compiled
    for x in range(len(slope)):
        slope[x] = memory * slope[x] + loss * (near * (b1[x] - a1[x]) + far * (b2[x] - a2[x]))


@compiled
def bend_across(out, bend, slopes, first, memory, loss):  # type: ignore[no-untyped-def] # compiled
    """Turn a row's second difference into that of a layer; `slopes` are those of five rows around it."""
    _bend_across(out, bend, slopes[0], slopes[1], slopes[3], slopes[4], first[0], first[1], memory, loss)


@compiled
def _bend_across(out, bend, a2, a1, b1, b2, near, far, memory, loss):  # type: ignore[no-untyped-def] # compiled
    for x in range(len(out)):
        out[x] += near * (b1[x] - a1[x]) + far * (b2[x] - a2[x])
    for x in range(len(out)):
        bend[x] = memory * bend[x] + loss * out[x]
        out[x] += bend[x]


@compiled
def strip(row, own, w, near, far, coefficients):  # type: ignore[no-untyped-def] # compiled
    """Advance a layer at one end of a row, and find what it adds to the plain second difference along the row.

    `row` has ZONE entries and a halo. `own` holds two zeros, ZONE slopes, two zeros, ZONE bends, and ZONE results.
    Few arrays in every loop: each pair that might overlap costs a check, and for loops as short as these the
    compiler would rather not vectorise.
    """
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for x in range(ZONE):
        rise = near * (row[x + 5] - row[x + 3]) + far * (row[x + 6] - row[x + 2])
        own[x + 2] = coefficients[x] * own[x + 2] + coefficients[x + ZONE] * rise
    for x in range(ZONE):
        more = near * (own[x + 3] - own[x + 1]) + far * (own[x + 4] - own[x])
        sides = w1 * (row[x + 3] + row[x + 5]) + w2 * (row[x + 2] + row[x + 6])
        bent = w0 * row[x + 4] + sides + w3 * (row[x + 1] + row[x + 7]) + w4 * (row[x] + row[x + 8]) + more
        bend = coefficients[x] * own[x + BENDS] + coefficients[x + ZONE] * bent
        own[x + BENDS] = bend
        own[x + RESULTS] = more + bend


@compiled
def finish(new, row, total, gain, w):  # type: ignore[no-untyped-def] # compiled
    """New row of a lossless, uniformly dense medium: 2 u - last + gain (total + second difference along it)."""
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for x in range(len(total)):
        sides = w1 * (row[x + 3] + row[x + 5]) + w2 * (row[x + 2] + row[x + 6])
        along = w0 * row[x + 4] + sides + w3 * (row[x + 1] + row[x + 7]) + w4 * (row[x] + row[x + 8])
        new[x] = row[x + 4] + row[x + 4] - new[x] + gain[x] * (total[x] + along)


@compiled
def finish_dense(new, row, total, gain, keep, w):  # type: ignore[no-untyped-def] # compiled
    """New row of a lossless medium of varying density."""
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for x in range(len(total)):
        sides = w1 * (row[x + 3] + row[x + 5]) + w2 * (row[x + 2] + row[x + 6])
        along = w0 * row[x + 4] + sides + w3 * (row[x + 1] + row[x + 7]) + w4 * (row[x] + row[x + 8])
        new[x] = keep[x] * row[x + 4] - new[x] + gain[x] * (total[x] + along)


@compiled
def finish_lossy(  # type: ignore[no-untyped-def] # compiled
    new, row, total, gain, keep, feed, memory_1, memory_2, memory_3, mechanisms, change, w
):
    """New row of a lossy medium, and its three memories; `change` is room for a row.

    Many short loops: with more arrays in one, the compiler does not vectorise it.
    """
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    k1, k2, k3 = mechanisms[0, 2], mechanisms[1, 2], mechanisms[2, 2]
    for x in range(len(change)):
        change[x] = k1 * memory_1[x] + k2 * memory_2[x] + k3 * memory_3[x]
    for x in range(len(total)):
        sides = w1 * (row[x + 3] + row[x + 5]) + w2 * (row[x + 2] + row[x + 6])
        along = w0 * row[x + 4] + sides + w3 * (row[x + 1] + row[x + 7]) + w4 * (row[x] + row[x + 8])
        total[x] = keep[x] * row[x + 4] + gain[x] * (total[x] + along) + feed[x] * change[x]
    # The weight of the last field, (1 - G) / (1 + G), follows from kappa / (1 + G).
    instant = mechanisms[0, 3]
    for x in range(len(total)):
        last = new[x]
        new[x] = total[x] - last + instant * feed[x] * last
        change[x] = new[x] - last
    _remember(memory_1, change, mechanisms[0, 0], mechanisms[0, 1])
    _remember(memory_2, change, mechanisms[1, 0], mechanisms[1, 1])
    _remember(memory_3, change, mechanisms[2, 0], mechanisms[2, 1])


@compiled
def _remember(memory, change, decay, gain):  # type: ignore[no-untyped-def] # compiled
    for x in range(len(memory)):
        memory[x] = decay * memory[x] + gain * change[x]


@compiled
def accumulate(real, imaginary, values, c, s):  # type: ignore[no-untyped-def] # compiled
    """Add a row times the complex number c + i s."""
    for x in range(len(values)):
        real[x] += c * values[x]
        imaginary[x] += s * values[x]


@compiled
def add_product(sums, a, b):  # type: ignore[no-untyped-def] # compiled
    """Add the product of two rows, in double precision."""
    for x in range(len(sums)):
        sums[x] += a[x] * b[x]
