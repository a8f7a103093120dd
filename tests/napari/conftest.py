"""A display of its own for tests that need a window, and a skip with one clear reason where none can be had."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

IN_WINDOW = Path(__file__).parent / "in_window"
PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"
LIBRARIES = (
    "apt-get install xvfb libxcb-icccm4 libxcb-keysyms1 libxcb-cursor0 libxkbcommon-x11-0 libgl1 libegl1"
)

LONGEST = 600
"""Of a test in a window, which a machine that others use slows down more than most [s]."""

Drive = Callable[..., str]


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of processes that may open windows; nothing of the user's settings is seen or changed."""
    for name in ("napari", "qtpy"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'usct[napari]' pyqt6")
    server, display = None, os.environ.get("DISPLAY", "")
    if shutil.which("Xvfb") is not None:
        server, display = _start_xvfb()
    home = tmp_path_factory.mktemp("home")
    places = {name: str(home) for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    threads = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    # The checkout under test, even where another one is installed.
    checkout = os.pathsep.join((str(IN_WINDOW.parents[2]), str(IN_WINDOW.parents[2] / "plugins")))
    environment = os.environ | places | threads | {"DISPLAY": display, "PYTHONPATH": checkout}
    if sys.platform == "linux":
        environment["QT_QPA_PLATFORM"] = "xcb"
    try:
        # Where a library is missing Qt aborts the process, which must not be this one.
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], env=environment, capture_output=True, check=False
        )
        if probe.returncode != 0:
            pytest.skip(f"Qt cannot open a window here; on Debian: {LIBRARIES}")
        yield environment
    finally:
        if server is not None:
            server.terminate()
            server.wait()


def _start_xvfb() -> tuple[subprocess.Popen[bytes], str]:
    """A virtual display on a free number."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(
        command, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        number = pipe.readline().decode().strip()
    return server, f":{number}"


@pytest.fixture
def drive(screen: dict[str, str]) -> Drive:
    """Run a script of `in_window` with a window; a crash of the toolkit fails that test alone."""

    def run(name: str, *arguments: object) -> str:
        command = [sys.executable, str(IN_WINDOW / f"{name}.py"), *map(str, arguments)]
        outcome = subprocess.run(
            command, env=screen, capture_output=True, text=True, check=False, timeout=LONGEST - 15
        )
        assert outcome.returncode == 0, f"{outcome.stdout}\n{outcome.stderr}"
        # What a person who started napari there would read on the console.
        assert "Warning" not in outcome.stderr, outcome.stderr
        return outcome.stdout

    return run
