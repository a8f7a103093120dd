"""The work on one case: simulate, reconstruct, diagnose, evaluate."""

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from usct import api, io
from usct.acquisition import Acquisition, Spectra
from usct.batch.records import Task, alone
from usct.diagnostics.compose import Options
from usct.errors import InputError
from usct.evaluation import evaluate_case
from usct.io import atomic
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import Status
from usct.simulating import TraceSettings, simulate_traces
from usct.units import MEGAHERTZ, MILLIMETRE

_IDENTITY = "batch_identity"


class BusyError(Exception):
    """Another batch holds the case."""


def work(task: Task) -> None:
    """Do what is not done of a case; a method that fails leaves its sentence, and the next one goes on.

    Raises:
        BusyError: If another process is at work on the case.
        KeyboardInterrupt: If the process was told to stop; checkpoints stay.
    """
    with alone(task.folder) as mine:
        if not mine:
            raise BusyError(f"{task.folder}: another batch is at work on this case")
        methods = task.unfinished()
        if not methods:
            return
        try:
            thing = _loaded(task.case.path)
            scan = thing if isinstance(thing, Acquisition) else _scan(task, thing)
        except Exception as error:  # noqa: BLE001 - whatever it is becomes a sentence, and the rest goes on
            for method in methods:
                task.fail(method, _sentence(error))
            return
        truth = scan.truth if isinstance(thing, Acquisition) else thing
        for method in methods:
            try:
                _run(task, method, scan, truth)
            except Exception as error:  # noqa: BLE001 - as above
                task.fail(method, _sentence(error))
        if not task.settings.scan.keep and not task.unfinished():
            (task.folder / "scan.h5").unlink(missing_ok=True)


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


def _loaded(path: Path) -> Phantom | Acquisition:
    thing = io.load(path)
    if not isinstance(thing, Phantom | Acquisition):
        raise InputError(f"{path}: is neither a phantom nor a scan; take it out of the dataset.")
    return thing


def _scan(task: Task, phantom: Phantom) -> Acquisition:
    """The scan of a phantom: the one that is there, if it is of these settings, or a new one."""
    path, identity = task.folder / "scan.h5", f"{task.case.sha256} {task.settings.scan_identity}"
    if path.is_file():
        scan = _loaded(path)
        if isinstance(scan, Acquisition) and scan.metadata.get(_IDENTITY) == identity:
            return scan
    scan = _simulated(task, phantom)
    scan = replace(scan, metadata={**scan.metadata, _IDENTITY: identity})
    io.save(scan, path)
    (task.folder / "rows.tmp").unlink(missing_ok=True)
    return scan


def _simulated(task: Task, phantom: Phantom) -> Acquisition:
    """A new scan, each case with draws of its own."""
    settings = task.settings.scan
    array = settings.array
    if settings.uniform_density:
        phantom = replace(phantom, medium=replace(phantom.medium, density=None))
    frequencies = [f * MEGAHERTZ for f in sorted(settings.frequencies_mhz)]
    seed = int.from_bytes(hashlib.sha256(f"{settings.seed}/{task.case.name}".encode()).digest()[:4])
    spacing = None if settings.spacing_mm is None else settings.spacing_mm * MILLIMETRE
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    if settings.engine == "frequency":
        return api.simulate(phantom, array, frequencies, settings.snr_db, seed, spacing)
    asked = TraceSettings((frequencies[0], frequencies[-1]), settings.snr_db, seed, spacing)
    rows = task.folder / "rows.tmp"
    try:
        scan = simulate_traces(phantom, array, asked, rows, resume=rows.exists())
    except InputError:
        # Rows of other settings, or a file cut short; if it is something else, it comes again.
        scan = simulate_traces(phantom, array, asked, rows)
    if settings.traces:
        return scan
    spectra: Spectra = scan.spectra(torch.tensor(frequencies, dtype=torch.float64))
    return replace(scan, data=spectra)


def _run(task: Task, method: str, scan: Acquisition, truth: Phantom | Medium | None) -> None:
    """One method on one case, from the checkpoint if there is one of these settings."""
    began = time.perf_counter()
    folder = task.folder / method
    folder.mkdir(exist_ok=True)
    task.clear(method)
    config = task.settings.run_config(method)
    changes: dict[str, object] = {"threads": task.threads or config.threads}
    changes |= {"device": task.device} if task.device != "auto" else {}
    config = config.model_copy(update=changes)
    checkpoint = folder / "checkpoint.h5"
    try:
        result = api.reconstruct(scan, config, checkpoint=checkpoint, resume=checkpoint.exists())
    except InputError:
        # A checkpoint of other settings; without one, the error is real.
        if not checkpoint.exists():
            raise
        checkpoint.unlink()
        result = api.reconstruct(scan, config, checkpoint=checkpoint)
    if result.status is Status.CANCELLED:
        raise KeyboardInterrupt
    io.save(result, folder / "result.h5")
    if task.settings.diagnosis.run:
        options = Options(n_modes=task.settings.diagnosis.modes)
        io.save(api.diagnose(result, scan, options=options, device=config.device), folder / "kernels.h5")
    if truth is not None:
        scores = evaluate_case(result, truth).as_dict()
        facts = {"case": task.case.name, "method": method, "phantom": dict(task.case.facts)}
        atomic.write_text(
            folder / "evaluation.json", json.dumps(facts | scores, indent=1, allow_nan=False) + "\n"
        )
    task.finish(method, time.perf_counter() - began)
    checkpoint.unlink(missing_ok=True)
