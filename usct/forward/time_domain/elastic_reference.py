"""Elastic waves in plain torch: any device, and slow. What the compiled propagator computes is defined here."""

import torch

from usct.forward.time_domain.elastic import WEIGHTS, ElasticScheme, pushes
from usct.forward.time_domain.shots import Records, Shots


def propagate(scheme: ElasticScheme, shots: Shots, dtype: torch.dtype, device: torch.device) -> Records:
    """Run all shots side by side in plain torch; see `shots` for what goes in and comes out."""
    n_shots, n_steps = shots.n_shots, shots.signals.shape[-1]
    state = ElasticState(scheme, n_shots, dtype, device)
    nodes, weights = shots.sampling.nodes.to(device), shots.sampling.weights.to(device, dtype)
    where = nodes[shots.transmits.to(device)].reshape(n_shots, -1)
    heights, integrals = (values.to(device, dtype) for values in pushes(scheme, shots))
    listening, heard = nodes[shots.receives], weights[shots.receives]
    rows = []
    for n in range(n_steps):
        pressure = -0.5 * (state.stresses[0] + state.stresses[1]).reshape(n_shots, -1)
        rows.append((pressure[:, listening] * heard).sum(dim=-1))
        state.advance()
        sent = (heights * integrals[:, :, n, None]).reshape(n_shots, -1)
        for stress in state.stresses[:2]:
            stress.reshape(n_shots, -1).scatter_add_(1, where, -sent)
    rest = sum(field.reshape(n_shots, -1).norm(dim=1) for field in state.stresses)
    return Records(torch.stack(rows, dim=-1), None, torch.as_tensor(rest))


class ElasticState:
    """Fields of many shots at one time, and how they advance.

    Attributes:
        velocities: Along y and x, half a step before the stresses, each (shot, *grid.shape).
        stresses: s_yy, s_xx and s_yx.
    """

    def __init__(self, scheme: ElasticScheme, n_shots: int, dtype: torch.dtype, device: torch.device) -> None:
        """Start from silence."""
        shape = (n_shots, *scheme.grid.shape)
        self.velocities = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(2)]
        self.stresses = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(3)]
        self._memories: dict[str, torch.Tensor] = {}
        self._layers = {}
        for halves, layers in enumerate((scheme.on_nodes, scheme.between)):
            for axis, own in enumerate(layers):
                shape = (-1, 1) if axis == 0 else (1, -1)
                pair = (values.to(device, dtype).reshape(shape) for values in (own.memory, own.gain))
                self._layers[axis, bool(halves)] = tuple(pair)
        self._axial, self._lateral, self._shear = (
            values.to(device, dtype) for values in (scheme.axial, scheme.lateral, scheme.shear)
        )
        self._mobility = [values.to(device, dtype) for values in scheme.mobility]

    def advance(self) -> None:
        """One step without sources: velocities from stresses, then stresses from velocities."""
        (yy, xx, yx), (vy, vx) = self.stresses, self.velocities
        vy += self._mobility[0] * (self._rise("yy", yy, 0, True) + self._rise("yx x", yx, 1, False))
        vx += self._mobility[1] * (self._rise("xx", xx, 1, True) + self._rise("yx y", yx, 0, False))
        along_y, along_x = self._rise("vy y", vy, 0, False), self._rise("vx x", vx, 1, False)
        yy += self._axial * along_y + self._lateral * along_x
        xx += self._lateral * along_y + self._axial * along_x
        yx += self._shear * (self._rise("vx y", vx, 0, True) + self._rise("vy x", vy, 1, True))

    def _rise(self, name: str, values: torch.Tensor, axis: int, forth: bool) -> torch.Tensor:
        """Difference along an axis, half a cell forth or back, in its absorbing layers."""
        rise = difference(values, axis + 1, forth)
        memory, gain = self._layers[axis, forth]
        kept = memory * self._memories[name] + gain * rise if name in self._memories else gain * rise
        self._memories[name] = kept
        return rise + kept


def difference(values: torch.Tensor, dim: int, forth: bool) -> torch.Tensor:
    """Difference half a cell ahead of every node, or behind it; beyond the rim there is nothing."""
    n, reach = values.shape[dim], len(WEIGHTS)
    shape = list(values.shape)
    shape[dim] = reach
    wide = torch.cat([values.new_zeros(shape), values, values.new_zeros(shape)], dim=dim)
    first = reach + (1 if forth else 0)
    result = torch.zeros_like(values)
    for number, weight in enumerate(WEIGHTS):
        ahead, behind = wide.narrow(dim, first + number, n), wide.narrow(dim, first - 1 - number, n)
        result += weight * (ahead - behind)
    return result
