"""A file that cannot grow beyond a limit, as on a full disk, is told in a sentence, and the old file stays."""

import subprocess
import sys

import pytest

from usct import io

WRITE = """
import resource, sys
from pathlib import Path
from usct import io, phantom
from usct.errors import InputError
made = phantom.make("disk", spacing=1e-3)
path = Path(sys.argv[1])
size = path.stat().st_size
for share in (0.0, 0.03, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), resource.RLIM_INFINITY))
    try:
        io.save(made, path)
        print("written")
    except InputError as error:
        print(error)
"""


def test_a_native_file_that_does_not_fit_is_refused_wherever_the_disk_ends(tmp_path):
    from usct import phantom

    path = tmp_path / "phantom.h5"
    io.save(phantom.make("disk", spacing=1e-3), path)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert len(said) == 8
    assert all("could not be written (File too large)" in line for line in said), said
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["phantom.h5"]


def test_other_errors_while_writing_are_not_hidden(tmp_path):
    from usct.io.native_write import write_file

    def fail(_file):
        raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match="my own"):
        write_file(tmp_path / "x.h5", "arrays", fail)
    assert not list(tmp_path.iterdir())
