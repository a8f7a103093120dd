"""The wave equation by devito, as its tutorials state it: order eight in space, damped within its outer cells.

Not in the extra `bench`, because devito asks for an older NumPy than the environment's: install it beside, and its row
appears. It compiles with the machine's C compiler.
"""

import os
from collections.abc import Callable

import numpy as np
import torch

from tests.bench.baselines import UnavailableError


def forward(
    n: int,
    spacing: float,
    step: float,
    signal: torch.Tensor,
    sources: torch.Tensor,
    receivers: torch.Tensor,
    damped: int,
) -> Callable[[], torch.Tensor]:
    """A run of all shots, one after the other, each on all threads.

    Args:
        n: Nodes along each side, damped ones included.
        spacing: Of the nodes [m].
        step: Time step [s].
        signal: Sent by every shot, shape (time,).
        sources: Nodes that send, shape (shot, 2).
        receivers: Nodes that are recorded, shape (rx, 2).
        damped: Width of the damped rim in nodes.

    Raises:
        UnavailableError: If devito cannot be used.
    """
    os.environ.setdefault("DEVITO_LOGGING", "WARNING")
    os.environ.setdefault("DEVITO_LANGUAGE", "openmp")
    try:
        import devito
    except Exception as error:  # noqa: BLE001 # without a compiler it fails while it is imported, in its own ways
        raise UnavailableError(f"devito cannot be used ({type(error).__name__}: {error})") from None
    grid = devito.Grid((n, n), extent=((n - 1) * spacing,) * 2, dtype=np.float32)
    field = devito.TimeFunction(name="u", grid=grid, time_order=2, space_order=8)
    slowness, damp = (devito.Function(name=name, grid=grid) for name in ("m", "damp"))
    slowness.data[:] = 1500.0**-2
    depth = np.maximum(damped - np.minimum(np.arange(n), np.arange(n)[::-1]), 0) / damped
    damp.data[:] = 1e-6 * (depth[:, None] ** 2 + depth**2)
    n_steps = len(signal)
    sent = devito.SparseTimeFunction(name="s", grid=grid, npoint=1, nt=n_steps)
    heard = devito.SparseTimeFunction(name="r", grid=grid, npoint=len(receivers), nt=n_steps)
    sent.data[:, 0] = signal.numpy()
    heard.coordinates.data[:] = spacing * receivers.numpy()
    wave = slowness * field.dt2 - field.laplace + damp * field.dt
    steps = [devito.Eq(field.forward, devito.solve(wave, field.forward))]
    steps += sent.inject(field.forward, expr=sent * step**2 / slowness) + heard.interpolate(expr=field)
    operator = devito.Operator(steps)

    def run() -> torch.Tensor:
        traces = []
        for place in sources:
            field.data[:] = 0
            sent.coordinates.data[0] = spacing * place.numpy()
            operator.apply(time_m=1, time_M=n_steps - 2, dt=np.float32(step))
            traces.append(torch.from_numpy(np.array(heard.data).T.copy()))
        return torch.stack(traces)

    return run
