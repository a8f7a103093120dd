"""The time-domain propagator in plain torch: any device, two or three dimensions, differentiable, and slow.

What the compiled propagator computes is defined here.
"""

import torch

from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.stencil import FIRST, HALF_WIDTH, Stencil


def propagate(
    scheme: Scheme, shots: Shots, dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> Records:
    """Run all shots side by side; see `shots` for what goes in and comes out."""
    device = device or scheme.gain.device
    n_shots, n_steps = shots.n_shots, shots.signals.shape[-1]
    nodes = shots.sampling.nodes.to(device)
    weights = shots.sampling.weights.to(device, dtype)
    signals = shots.signals.to(device, dtype).expand(n_shots, -1, -1)
    senders = shots.transmits.to(device)
    flat = n_shots, scheme.grid.n_cells
    where = nodes[senders].reshape(n_shots, -1)
    heights = scheme.source_gain * weights[senders]
    cells, kernel = (None if x is None else x.to(device) for x in (shots.cells, shots.kernel))
    fields = torch.zeros(0) if cells is None else shots.empty_fields(device, dtype)
    state = State(scheme, n_shots, dtype, device)
    rows = []
    for n in range(n_steps):
        u = state.field.reshape(flat)
        listening = u[:, nodes[shots.receives]]
        rows.append((listening * weights[shots.receives]).sum(dim=-1))
        if kernel is not None and cells is not None and n % shots.every == 0:
            fields = fields + kernel[:, n, None, None].to(fields.dtype) * u[:, cells]
        push = torch.zeros(flat, device=device, dtype=dtype)
        push = push.scatter_add(1, where, (heights * signals[:, :, n, None]).reshape(n_shots, -1))
        state.advance(push.reshape(state.field.shape))
    traces = torch.stack(rows, dim=-1) if rows else signals.new_zeros(n_shots, len(shots.receives), 0)
    rest = state.field.reshape(flat).norm(dim=1) + state.last.reshape(flat).norm(dim=1)
    return Records(traces, None if cells is None else fields, rest.detach())


class State:
    """Fields of many shots at one time, and how they advance."""

    def __init__(self, scheme: Scheme, n_shots: int, dtype: torch.dtype, device: torch.device) -> None:
        """Start from silence."""
        silence = torch.zeros((n_shots, *scheme.grid.shape), device=device, dtype=dtype)
        n_dims, relaxation = scheme.grid.n_dims, scheme.relaxation
        self.scheme = scheme
        self.field, self.last = silence, silence
        self.slopes, self.bends = [silence] * n_dims, [silence] * n_dims
        self.memories = [silence] * (0 if relaxation is None else len(relaxation.weights))
        self._axes = []
        for dim, layer in enumerate(scheme.layers):
            shape = tuple(-1 if d == dim else 1 for d in range(n_dims))
            self._axes.append(tuple(x.to(device, dtype).reshape(shape) for x in (layer.memory, layer.gain)))

        def placed(values: torch.Tensor | float) -> torch.Tensor:
            return torch.as_tensor(values).to(device, dtype)

        self._gain = placed(scheme.gain)
        self._keep = placed(2.0 if scheme.keep is None else scheme.keep)
        self._past = placed(1.0 if scheme.past is None else scheme.past)
        self._feed = placed(0.0 if scheme.feed is None else scheme.feed)

    def advance(self, push: torch.Tensor) -> None:
        """One step with sources of shape (shot, *grid.shape)."""
        total = push
        for dim, (memory, gain) in enumerate(self._axes):
            axis = dim + 1
            self.slopes[dim] = memory * self.slopes[dim] + gain * first_difference(self.field, axis)
            bend = second_difference(self.field, axis, self.scheme.stencil)
            bend = bend + first_difference(self.slopes[dim], axis)
            self.bends[dim] = memory * self.bends[dim] + gain * bend
            total = total + bend + self.bends[dim]
        new = self._keep * self.field - self._past * self.last + self._gain * total
        relaxation = self.scheme.relaxation
        if relaxation is not None:
            for decay, weight, memory in zip(
                relaxation.decays, relaxation.weights, self.memories, strict=True
            ):
                new = new + self._feed * (weight * (1 - decay)) * memory
            change = new - self.last
            pairs = zip(relaxation.decays, relaxation.gains, self.memories, strict=True)
            self.memories = [e * d + g * change for e, g, d in pairs]
        self.field, self.last = new, self.field


def second_difference(values: torch.Tensor, dim: int, stencil: Stencil) -> torch.Tensor:
    """Second difference along an axis; beyond the rim there is nothing."""
    n = values.shape[dim]
    wide = _surrounded(values, dim)
    result = stencil.weights[0] * values
    for number, weight in enumerate(stencil.weights[1:], 1):
        ahead = wide.narrow(dim, HALF_WIDTH + number, n)
        result = result + weight * (ahead + wide.narrow(dim, HALF_WIDTH - number, n))
    return result


def first_difference(values: torch.Tensor, dim: int) -> torch.Tensor:
    """First difference along an axis; beyond the rim there is nothing."""
    n = values.shape[dim]
    wide = _surrounded(values, dim)
    result = torch.zeros_like(values)
    for number, weight in enumerate(FIRST, 1):
        ahead = wide.narrow(dim, HALF_WIDTH + number, n)
        result = result + weight * (ahead - wide.narrow(dim, HALF_WIDTH - number, n))
    return result


def _surrounded(values: torch.Tensor, dim: int) -> torch.Tensor:
    shape = list(values.shape)
    shape[dim] = HALF_WIDTH
    nothing = values.new_zeros(shape)
    return torch.cat([nothing, values, nothing], dim=dim)
