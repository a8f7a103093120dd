"""Workers of a Dask cluster, which share a disk with this machine; Dask carries tasks, never results."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from usct.batch.processes import Report
from usct.batch.records import Task
from usct.batch.working import BusyError, work
from usct.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_GPU = {"GPU": 1}
ANSWER = 10
"""How long a scheduler may take to answer [s]."""
LARGE = 100_000
"""Arguments of more bytes than that are sent to every worker once."""


@contextmanager
def connected(address: str) -> Iterator["Client"]:
    """A client of a scheduler such as tcp://host:8786.

    Raises:
        InputError: If Dask is not installed or nobody answers.
    """
    distributed_client = _client_class()
    try:
        client = distributed_client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {address}: no scheduler answers ({error}); start one with 'dask scheduler'."
        ) from None
    try:
        yield client
    finally:
        client.close()


@contextmanager
def slurm(workers: int, threads: int, gpu: bool) -> Iterator["Client"]:
    """A client of workers that Slurm starts as jobs; partition, memory and time come from Dask's jobqueue.yaml.

    Args:
        workers: How many jobs.
        threads: Cores of each.
        gpu: Whether each asks for one GPU.

    Raises:
        InputError: If dask-jobqueue is not installed or not set up.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise InputError(
            "--slurm needs dask-jobqueue; install it with 'pip install usct[cluster]'."
        ) from None
    arguments, directives = (["--resources", "GPU=1"], ["--gres=gpu:1"]) if gpu else ([], [])
    try:
        # One process a job and one task at a time in it, which uses all of its cores.
        cluster = SLURMCluster(
            cores=threads, processes=1, worker_extra_args=arguments, job_extra_directives=directives
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"--slurm: {error}; set memory, walltime and queue in ~/.config/dask/jobqueue.yaml."
        ) from None
    with cluster:
        cluster.scale(jobs=workers)
        client = _client_class()(cluster, set_as_default=False)
        try:
            yield client
        finally:
            client.close()


def run_cluster(
    tasks: Sequence[Task],
    client: "Client",
    report: Report,
    gpu: bool = False,
    job: Callable[[Task], None] = work,
) -> None:
    """Work on cases on a cluster until each is done or was tried as often as allowed.

    Args:
        tasks: The cases.
        client: Of the scheduler.
        report: Called after the last try of each case.
        gpu: Give a task only to workers that were started with `--resources GPU=1`.
        job: The work, a function that can be imported.

    Raises:
        KeyboardInterrupt: If this process is told to stop; tasks that have not begun are taken back.
    """
    from distributed import as_completed

    # One task at a time on a worker: it uses all threads.
    resources = _GPU if gpu else None
    futures = {client.submit(job, task, pure=False, resources=resources): (task, 1) for task in tasks}
    queue = as_completed(list(futures), loop=client.loop)
    try:
        for future in queue:
            task, attempt = futures.pop(future)
            error = future.exception()
            busy = isinstance(error, BusyError)
            if error is not None:
                for method in task.unfinished():
                    task.fail(method, f"{task.case.name}: {error or type(error).__name__}")
            if task.unfinished() and attempt < task.settings.attempts and not busy:
                again = client.submit(job, task, pure=False, resources=resources)
                futures[again] = task, attempt + 1
                queue.add(again)
            else:
                report(task)
    finally:
        client.cancel(list(futures))


class ClusterExecutor(Executor):
    """A cluster as a pool of processes: one task at a time on every worker, and large arguments sent once."""

    def __init__(self, client: "Client", gpu: bool = False) -> None:
        """Use the workers of a client; with `gpu` those alone that were started with `--resources GPU=1`."""
        self._pool = client.get_executor(resources=_GPU if gpu else None, pure=False)
        self._client = client
        self._sent: dict[int, tuple[Any, Any]] = {}

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        """See `concurrent.futures.Executor`."""
        return self._pool.submit(function, *(self._placed(x) for x in arguments), **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take back what has not begun; the cluster stays."""
        self._pool.shutdown(wait=wait and not cancel_futures)

    def _placed(self, argument: Any) -> Any:
        if not isinstance(argument, bytes) or len(argument) < LARGE:
            return argument
        if id(argument) not in self._sent:
            # The argument is kept with its place, so that no other can take its id.
            self._sent[id(argument)] = argument, self._client.scatter(argument, broadcast=True, hash=False)
        return self._sent[id(argument)][1]


def _client_class() -> type["Client"]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a cluster needs Dask; install it with 'pip install usct[cluster]'.") from None
    return Client
