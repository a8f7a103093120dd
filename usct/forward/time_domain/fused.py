"""The time-domain propagator for GPUs: one kernel a step, captured in a CUDA graph, as many shots as stay in cache.

Computes what `reference` defines; `gpu` makes sure of it first. Needs triton; on a CPU it runs in Triton's
interpreter alone, for tests.
"""

import math
from dataclasses import dataclass, replace

import torch

from usct.forward.time_domain import kernels
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.stencil import FIRST, HALF_WIDTH

WIDTH = 128
"""Nodes of a row that a program advances."""
CACHE_SHARE = 0.7
"""Of the second-level cache, what fields may take; the rest is for maps and layers."""
HALO = HALF_WIDTH


def shots_in_cache(cache_bytes: int, n_cells: int, n_mechanisms: int, bytes_per_value: int = 4) -> int:
    """How many shots' fields stay in a device's second-level cache from step to step; at least one."""
    return max(1, int(CACHE_SHARE * cache_bytes / (n_cells * (2 + n_mechanisms) * bytes_per_value)))


def propagate(
    scheme: Scheme,
    shots: Shots,
    dtype: torch.dtype,
    device: torch.device,
    at_once: int | None = None,
    in_graph: bool = True,
) -> Records:
    """Run shots in batches, on a GPU from a graph unless told otherwise; see `shots` for what goes in and comes out."""
    n_mechanisms = 0 if scheme.relaxation is None else len(scheme.relaxation.weights)
    if at_once is None:
        size = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else 0
        at_once = shots_in_cache(size, scheme.grid.n_cells, n_mechanisms, torch.finfo(dtype).bits // 8)
    records = []
    for first in range(0, shots.n_shots, at_once):
        some = slice(first, first + at_once)
        signals = shots.signals if len(shots.signals) == 1 else shots.signals[some]
        own = replace(shots, transmits=shots.transmits[some], signals=signals)
        records.append(Stepper.of(scheme, own, dtype, device).run(own, in_graph))
    found = [record.fields for record in records if record.fields is not None]
    return Records(
        torch.cat([record.traces for record in records]),
        torch.cat(found, dim=1) if found else None,
        torch.cat([record.rest for record in records]),
    )


@dataclass(frozen=True)
class Stepper:
    """Everything on the device that a batch of shots needs.

    Attributes:
        shape: Of the grid as (z, y, x); a plane has one y, and no halo about it.
        fields: Now and last, each (shot, z, y, x) with halo.
        maps: Gain, keep and feed; what is not there is one number.
        memories: Of the attenuation, (mechanism, shot, z, y, x), and the mechanisms (decay, gain, weight, instant).
        slopes: Of the axes z, y and x, before and after a step.
        bends: Of the same.
        layers: Memory and gain at all nodes of each axis, (2, n).
        sources: Nodes, lowest and highest of each shot, heights, signals.
        ears: Nodes and weights.
        traces: (shot, rx, time).
        counter: Number of the next step.
        weights: Of the second and the first difference.
        is_dense: Whether `keep` is a map.
    """

    shape: tuple[int, int, int]
    fields: tuple[torch.Tensor, torch.Tensor]
    maps: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    memories: tuple[torch.Tensor, torch.Tensor]
    slopes: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    bends: tuple[torch.Tensor, ...]
    layers: tuple[torch.Tensor, ...]
    sources: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    ears: tuple[torch.Tensor, torch.Tensor]
    traces: torch.Tensor
    counter: torch.Tensor
    weights: torch.Tensor
    is_dense: bool

    @classmethod
    def of(cls, scheme: Scheme, shots: Shots, dtype: torch.dtype, device: torch.device) -> "Stepper":
        """Silence, and the coefficients of a scheme."""
        n_shots, n_steps, plane = shots.n_shots, shots.signals.shape[-1], scheme.grid.n_dims == 2
        nz, ny, nx = (scheme.grid.shape[0], 1, scheme.grid.shape[1]) if plane else scheme.grid.shape
        shape = nz, ny, nx

        def put(values: torch.Tensor | None) -> torch.Tensor:
            values = torch.zeros(1) if values is None else values.detach()
            return values.to(device, dtype).contiguous()

        def silence(*sizes: int) -> torch.Tensor:
            return torch.zeros(sizes, dtype=dtype, device=device)

        wave = n_shots, nz + 2 * HALO, 1 if plane else ny + 2 * HALO, nx + 2 * HALO
        blocks = (n_shots, 2 * ZONE, ny, nx), (n_shots, nz, 2 * ZONE, nx), (n_shots, nz, ny, 2 * ZONE)
        axes = (scheme.layers[0], scheme.layers[0], scheme.layers[1]) if plane else scheme.layers
        relaxation = scheme.relaxation
        mechanisms = [] if relaxation is None else [
            (decay, gain, weight * (1 - decay), 2 * relaxation.instant)
            for decay, gain, weight in zip(relaxation.decays, relaxation.gains, relaxation.weights, strict=True)
        ]  # fmt: skip
        traces = silence(n_shots, len(shots.receives), n_steps)
        return cls(
            shape,
            (silence(*wave), silence(*wave)),
            (put(scheme.gain), put(scheme.keep), put(scheme.feed)),
            (
                silence(len(mechanisms), n_shots, nz, ny, nx),
                torch.tensor(mechanisms, dtype=dtype, device=device),
            ),
            tuple((silence(*block), silence(*block)) for block in blocks),
            tuple(silence(*block) for block in blocks),
            tuple(put(torch.stack([axis.memory, axis.gain])) for axis in axes),
            _sources(scheme, shots, shape, dtype, device),
            (
                in_halo(shots.sampling.nodes[shots.receives], shape).to(device),
                put(shots.sampling.weights[shots.receives]),
            ),
            traces,
            torch.zeros(1, dtype=torch.int32, device=device),
            torch.tensor([*scheme.stencil.weights, *FIRST], dtype=dtype, device=device),
            scheme.keep is not None,
        )

    def run(self, shots: Shots, in_graph: bool = True) -> Records:
        """All steps; two at a time from a graph on a GPU, after which old and new have their places again."""
        n_steps = self.traces.shape[-1]
        transform = _Transform.of(shots, self)
        graph = None
        for n in range(n_steps):
            if graph is not None and n % 2 == 0 and n + 1 < n_steps:
                graph.replay()
            elif graph is None or n % 2 == 0:
                self.step(n % 2, transform)
            # Two plain steps have compiled everything that the graph holds.
            if n == 1 and in_graph and self.traces.is_cuda and n_steps > 4:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    self.step(0, transform)
                    self.step(1, transform)
        rest = sum(field.flatten(1).norm(dim=1) for field in self.fields)
        return Records(self.traces, transform.values if transform else None, torch.as_tensor(rest))

    def step(self, parity: int, transform: "_Transform | None") -> None:
        """One step; parity says which of the two fields and slopes are the present ones."""
        u, v = self.fields if parity == 0 else self.fields[::-1]
        nz, ny, nx = self.shape
        n_shots, n_receivers, n_steps = self.traces.shape
        columns = math.ceil(nx / WIDTH)
        rows = nz * ny + math.ceil(math.ceil(n_receivers / WIDTH) / columns)
        slopes = []
        for pair, bend in zip(self.slopes, self.bends, strict=True):
            slopes += [*(pair if parity == 0 else pair[::-1]), bend]
        spots, reach, heights, signals = self.sources
        if transform is not None:
            transform.add(u, self.counter)
        kernels.advance[(columns, rows, n_shots)](
            u, v, *self.maps, *self.memories, *slopes, *self.layers,
            spots, reach, heights, signals, *self.ears, self.traces, self.counter,
            self.weights, nz, ny, nx, n_shots, n_steps, len(signals), n_receivers,
            is_volume=ny > 1, is_dense=self.is_dense, n_mechanisms=len(self.memories[0]),
            zone=ZONE, halo=HALO, spot_count=spots.shape[1], patch=spots.shape[1] // signals.shape[1],
            ear_patch=self.ears[0].shape[1], width=WIDTH,
        )  # fmt: skip
        self.counter.add_(1)


@dataclass(frozen=True)
class _Transform:
    """Running transforms of the field.

    Attributes:
        cells: Flat nodes with halo.
        kernel: (freq, time); zero at the steps that are left out.
        values: (freq, shot, cell).
    """

    cells: torch.Tensor
    kernel: torch.Tensor
    values: torch.Tensor

    @classmethod
    def of(cls, shots: Shots, stepper: Stepper) -> "_Transform | None":
        """What shots ask for, if anything."""
        if shots.cells is None or shots.kernel is None:
            return None
        device, dtype = stepper.traces.device, stepper.traces.dtype
        values = shots.empty_fields(device, dtype)
        taken = torch.arange(shots.kernel.shape[1]) % shots.every == 0
        kernel = (shots.kernel * taken).to(device, values.dtype)
        return cls(in_halo(shots.cells, stepper.shape).to(device), kernel, values)

    def add(self, field: torch.Tensor, counter: torch.Tensor) -> None:
        """Take part of a step."""
        factor = self.kernel.index_select(1, counter.long())
        self.values.add_(factor[..., None] * field.flatten(1)[:, self.cells])


def in_halo(nodes: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Flat indices of nodes in a field with its halo; a plane has none about its middle axis."""
    nz, ny, nx = shape
    z, y, x = nodes // (ny * nx), nodes // nx % ny, nodes % nx
    wide, deep = (1, 0) if ny == 1 else (ny + 2 * HALO, HALO)
    return ((z + HALO) * wide + y + deep) * (nx + 2 * HALO) + x + HALO


def _sources(
    scheme: Scheme, shots: Shots, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nodes (shot, sender times patch), the lowest and highest of each shot, heights, signals (., sender, time)."""
    nodes = in_halo(shots.sampling.nodes[shots.transmits], shape).reshape(shots.n_shots, -1)
    heights = scheme.source_gain * shots.sampling.weights[shots.transmits].reshape(shots.n_shots, -1)
    reach = torch.stack([nodes.amin(dim=1), nodes.amax(dim=1)], dim=1)
    signals = shots.signals.detach().to(device, dtype).contiguous()
    return nodes.to(device), reach.to(device), heights.to(device, dtype), signals
