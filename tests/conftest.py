"""What every test shares; needs nothing but pytest, so that the GPU tests run in a bare environment."""

import importlib.util
import os
from pathlib import Path

import pytest

# Threads that spin while they wait starve each other on small machines; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the `timeout` setting where the plug-in that obeys it is not installed."""
    if importlib.util.find_spec("pytest_timeout") is None:
        parser.addini("timeout", "Seconds a test may take; obeyed by pytest-timeout alone.")


def pytest_configure(config: pytest.Config) -> None:
    """Let numba advise on speed without failing a test, where there is numba."""
    if importlib.util.find_spec("numba") is not None:
        config.addinivalue_line("filterwarnings", "ignore::numba.core.errors.NumbaPerformanceWarning")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu`, open only files that name the mark: the others import what a bare environment lacks."""
    if config.option.markexpr != "gpu" or collection_path.suffix != ".py":
        return None
    return True if "mark.gpu" not in collection_path.read_text(encoding="utf-8") else None
