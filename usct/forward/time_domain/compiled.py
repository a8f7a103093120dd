"""The time-domain propagator for CPUs: every shot runs through all of its steps on one thread, in its cache."""

import numpy as np
import torch

from usct.forward.parallel import each
from usct.forward.time_domain import steps
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.tables import Tables


def propagate(scheme: Scheme, shots: Shots, dtype: torch.dtype = torch.float32) -> Records:
    """Run shots in parallel; see `shots` for what goes in and comes out, and `reference` for what it means."""
    tables = Tables.of(scheme, dtype)
    nodes, weights = shots.sampling.nodes.numpy(), shots.sampling.weights.numpy()
    signals = shots.signals.detach().numpy()
    receives = shots.receives.numpy()
    ears = tables.ears(nodes[receives], weights[receives])
    cells = np.empty(0, dtype=np.int64) if shots.cells is None else shots.cells.numpy()
    runs = tables.runs(cells)
    kernel = np.empty((0, 2, 0))
    if shots.kernel is not None:
        kernel = np.stack([shots.kernel.real.numpy(), shots.kernel.imag.numpy()], axis=1)
    kernel = np.ascontiguousarray(kernel, dtype=tables.real)
    traces: np.ndarray = np.empty((shots.n_shots, len(receives), signals.shape[-1]), dtype=tables.real)
    kind = np.complex64 if dtype == torch.float32 else np.complex128
    fields = np.empty((len(kernel), shots.n_shots, len(cells)), dtype=kind)
    rest = np.empty(shots.n_shots)

    def work(shot: int) -> None:
        senders = shots.transmits[shot].numpy()
        sources = tables.sources(nodes[senders], weights[senders], signals[shot if len(signals) > 1 else 0])
        values: np.ndarray = np.zeros((len(kernel), 2, len(cells)), dtype=tables.real)
        transform = kernel, shots.every, values
        state = tables.silence()
        rest[shot] = run(tables, state, sources, ears, traces[shot], runs, transform, tables.no_tape())
        fields[:, shot] = values[:, 0] + 1j * values[:, 1]

    each(work, range(shots.n_shots))
    found = None if shots.cells is None or shots.kernel is None else torch.from_numpy(fields)
    return Records(torch.from_numpy(traces), found, torch.from_numpy(rest))


def run(tables: Tables, *arguments: object) -> float:
    """Run steps; see `steps.run`."""
    # Fields fade into numbers so small that they are slow to compute with; they are as good as zero.
    flushes = torch.set_flush_denormal(True)
    rest: float = steps.run(tables.medium, tables.layers, *arguments)
    if flushes:
        torch.set_flush_denormal(False)
    return rest
