"""Compiled arithmetic on rows of the grid; every loop here vectorises."""

import numba

from usct.forward.time_domain.stencil import HALF_WIDTH

HALO = HALF_WIDTH

compiled = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


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
