"""Workers on this machine: one process for each case, a fixed number at a time, none of which can harm another."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from usct.batch.records import Task
from usct.batch.working import BusyError, work

Report = Callable[[Task], None]
_BUSY = 3
_GRACE = 20.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_processes(
    tasks: Sequence[Task], workers: int, report: Report, job: Callable[[Task], None] = work
) -> None:
    """Work on cases in processes of their own until each is done or was tried as often as allowed.

    Args:
        tasks: The cases.
        workers: How many at a time.
        report: Called after each try of a case.
        job: The work, a function that can be imported.

    Raises:
        KeyboardInterrupt: If this process is told to stop; workers were stopped, and keep their checkpoints.
    """
    waiting = deque((task, 1) for task in tasks)
    active: dict[SpawnProcess, tuple[Task, int, int]] = {}
    slots = list(range(workers))
    try:
        while waiting or active:
            while waiting and slots:
                task, attempt = waiting.popleft()
                slot = slots.pop(0)
                active[_started(job, _placed(task, slot))] = task, attempt, slot
            wait([process.sentinel for process in active])
            for process in [process for process in active if process.exitcode is not None]:
                task, attempt, slot = active.pop(process)
                slots.append(slot)
                _note_death(task, process)
                if task.unfinished() and attempt < task.settings.attempts and process.exitcode != _BUSY:
                    waiting.append((task, attempt + 1))
                else:
                    report(task)
    finally:
        _stop(list(active))


def n_devices() -> int:
    """How many CUDA devices this machine has."""
    import torch

    return torch.cuda.device_count()


def _placed(task: Task, slot: int) -> Task:
    """The task on the device of a slot, where there are devices."""
    count = n_devices() if task.device == "auto" else 0
    return replace(task, device=f"cuda:{slot % count}") if count else task


def _note_death(task: Task, process: SpawnProcess) -> None:
    """Leave a sentence where a worker could not."""
    code = process.exitcode or 0
    if code == 0:
        return
    reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    text = "another batch is at work on this case" if code == _BUSY else f"the worker died ({reason})"
    for method in task.unfinished():
        try:
            task.fail(method, f"{task.case.name}: {text}; run the batch again.")
        except (OSError, ValueError):
            # A full disk: the run counts as missing, and nothing that is finished is touched.
            return


@contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """Environment of a child to be: libraries read their number of threads as they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    if threads is not None:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _started(job: Callable[[Task], None], task: Task) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(target=_child, args=(job, task))
    with _environment(task.threads):
        process.start()
    return process


def _child(job: Callable[[Task], None], task: Task) -> None:
    """What a worker process does: the job, unless its parent dies, or Ctrl-C reaches it before its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        job(task)
    except BusyError:
        raise SystemExit(_BUSY) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _stop(processes: Sequence[SpawnProcess]) -> None:
    """End workers: first politely, so that checkpoints are written."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
            process.join()
