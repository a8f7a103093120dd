"""Work that takes longer than a blink, away from the window's thread."""

import atexit
import gc
import sys
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from napari.utils.notifications import show_error
from qtpy.QtCore import QEventLoop, QThreadPool, QTimer
from qtpy.QtWidgets import QApplication
from superqt.utils import create_worker

Result = TypeVar("Result")

PAUSE = 20
"""Between two steps, long enough for the window to draw and to hear of keys and clicks [ms]."""


def in_background(
    work: Callable[[], Any],
    done: Callable[[Any], None],
    failed: Callable[[str], None] = show_error,
) -> Any:
    """Do some work in a thread, and hand over what it returned in the window's own.

    Args:
        work: Computes or reads; must not touch the window.
        done: Gets what it returned.
        failed: Gets the sentence of an error that users can mend; other errors are napari's to show.

    Returns:
        The worker.
    """
    _wait_at_the_end()
    worker = create_worker(_settled(work), _start_thread=False, _ignore_errors=True)
    worker.returned.connect(done)
    worker.errored.connect(lambda error: _tell(error, failed))
    worker.start()
    return worker


def waited(work: Callable[[], Result]) -> Result:
    """Do some work in a thread, and return what it returned; the window goes on answering meanwhile.

    Args:
        work: Computes, reads or imports; must not touch the window. Where there is no window it is done at once.

    Raises:
        InputError: If the window is closed before its end. And whatever the work raises.
    """
    if QApplication.instance() is None:
        return work()
    found: list[Result] = []
    errors: list[Exception] = []
    loop = QEventLoop()
    _wait_at_the_end()
    worker = create_worker(_settled(work), _start_thread=False, _ignore_errors=True)
    worker.returned.connect(found.append)
    worker.errored.connect(errors.append)
    worker.finished.connect(lambda *_: loop.quit())
    worker.start()
    loop.exec()
    if errors:
        raise errors[0]
    if not found:
        from usct.errors import InputError

        raise InputError("The window was closed before its work was done.")
    return found[0]


def _settled(work: Callable[[], Result]) -> Callable[[], Result]:
    """Work after which the garbage collector does not look again at what it imported.

    Libraries hold a million objects for good, and to look at all of them held the window up for 0.35 s now and then.
    What is no longer referred to is freed as ever; cycles of older objects alone are not.
    """

    def work_and_settle() -> Result:
        before = len(sys.modules)
        with _NOTHING_COLLECTED:
            result = work()
        if len(sys.modules) > before:
            gc.freeze()
        return result

    return work_and_settle


class _NothingCollected:
    """Holds the garbage collector off while work is done in threads, if it was on.

    It runs in whichever thread allocates, and a closed widget that it destroys in another one than the window's takes
    the process down.
    """

    def __init__(self) -> None:
        self._lock, self._n_at_work, self._was_on = threading.Lock(), 0, False

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_at_work:
                self._was_on = gc.isenabled()
                gc.disable()
            self._n_at_work += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_at_work -= 1
            if not self._n_at_work and self._was_on:
                gc.enable()


_NOTHING_COLLECTED = _NothingCollected()


@cache
def _wait_at_the_end() -> None:
    """Let work end before the program does: a thread that finds the toolkit gone would take the process down."""
    # A script that never entered the event loop does not leave it either.
    atexit.register(_wait)
    application = QApplication.instance()
    if application is not None:
        application.aboutToQuit.connect(_wait)


def _wait() -> None:
    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.waitForDone()


def one_by_one(steps: Iterable[Callable[[], object]]) -> None:
    """Do steps that each take a moment, such as adding a layer; between them the window answers.

    Args:
        steps: What to do, in this order.
    """
    rest = iter(steps)

    def go_on() -> None:
        step = next(rest, None)
        if step is not None:
            step()
            QTimer.singleShot(PAUSE, go_on)

    go_on()


def _tell(error: Exception, failed: Callable[[str], None]) -> None:
    from usct.errors import InputError

    failed(" ".join(str(error).split()))
    if not isinstance(error, InputError):
        raise error
