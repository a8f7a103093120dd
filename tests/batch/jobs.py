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
        time.sleep(0.01)
        task.finish(method, 0.2)


def die_or_fail(task: Task) -> None:
    """The first case is killed half way through its first try, the second always fails, others end well."""
    task.folder.mkdir(parents=True, exist_ok=True)
    marker = task.folder / "died"
    if task.case.name == "case0" and not marker.exists():
        marker.touch()
        (task.folder / "pixel").mkdir()
        (task.folder / "pixel" / "result.h5").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    if task.case.name == "case1":
        task.fail("pixel", "case1: odd things fail; take an even one.")
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
