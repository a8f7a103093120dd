"""The command line. Heavy packages are imported inside the commands, so that help answers at once."""

import os

# Threads that spin while they wait starve each other on small machines; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from usct.cli.app import main  # noqa: E402 - after the environment is set

__all__ = ["main"]
