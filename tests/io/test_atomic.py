"""A write that fails or is killed leaves the old file; a write that ends leaves the new one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from usct.errors import InputError
from usct.io import atomic

# Loads the one module by its path, because the package around it takes seconds to import.
_FOREVER = """
import importlib.util, itertools, sys
spec = importlib.util.spec_from_file_location("atomic", sys.argv[2])
atomic = importlib.util.module_from_spec(spec)
spec.loader.exec_module(atomic)
for i in itertools.count():
    atomic.write_bytes(sys.argv[1], bytes([i % 256]) * 3_000_000)
    if i == 0:
        print("started", flush=True)
"""


def test_bytes_and_text(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / "a.png", b"\x00\xff")
    atomic.write_text(tmp_path / "a.json", "{'ü': 1}\n")
    assert (tmp_path / "a.png").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "{'ü': 1}\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.png"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    sentence = r"a\.txt: could not be written \(No space left.*unchanged"
    with pytest.raises(InputError, match=sentence), atomic.replacing(path):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_missing_folder_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; create it"):
        atomic.write_text(tmp_path / "no" / "a.txt", "x")
    with pytest.raises(InputError, match="is a folder"):
        atomic.write_text(tmp_path, "x")


def test_the_umask_holds_and_links_are_followed(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        atomic.write_text(tmp_path / "real.txt", "x")
    finally:
        os.umask(previous)
    assert (tmp_path / "real.txt").stat().st_mode & 0o777 == 0o640
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    atomic.write_text(tmp_path / "link.txt", "y")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "y"


def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", _FOREVER, str(path), str(Path(atomic.__file__).resolve())]
    for delay in (0.0, 0.007, 0.013, 0.021, 0.029):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"started\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert content == content[:1] * len(content)
