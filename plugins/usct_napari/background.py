"""Work that takes longer than a blink, away from the window's thread."""

from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error


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
        napari's worker.
    """
    worker = create_worker(work, _start_thread=False, _ignore_errors=True)
    worker.returned.connect(done)
    worker.errored.connect(lambda error: _tell(error, failed))
    worker.start()
    return worker


def _tell(error: Exception, failed: Callable[[str], None]) -> None:
    from usct.errors import InputError

    failed(" ".join(str(error).split()))
    if not isinstance(error, InputError):
        raise error
