"""Work for processes of a test, which start with nothing but this module."""

import os
import signal
import time

from usct.batch.records import Task


def write_result(task: Task) -> None:
    for method in task.unfinished():
        task.clear(method)
        folder = task.folder / method
        folder.mkdir(parents=True, exist_ok=True)
        with (task.folder / "tries").open("a") as stream:
            stream.write("x")
        (folder / "result.h5").write_text(f"{task.case.name} {method}")
        time.sleep(0.2)
        task.finish(method, 0.2)


def die_once(task: Task) -> None:
    """Killed half way through the first try of every case."""
    marker = task.folder / "died"
    task.folder.mkdir(parents=True, exist_ok=True)
    if not marker.exists():
        marker.touch()
        (task.folder / "pixel").mkdir()
        (task.folder / "pixel" / "result.h5").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    write_result(task)


def fail_odd(task: Task) -> None:
    """Cases of odd number always fail, with a sentence."""
    if int(task.case.name[-1]) % 2:
        for method in task.settings.methods:
            task.fail(method, f"{task.case.name}: odd things fail; take an even one.")
        with (task.folder / "tries").open("a") as stream:
            stream.write("x")
        return
    write_result(task)


def die_always(_task: Task) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_long(task: Task) -> None:
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
