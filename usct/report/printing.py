"""Pages printed to PDF by whatever headless browser of the Chromium family is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from usct.errors import InputError
from usct.io import atomic

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
LONGEST = 120.0
"""After so many seconds the browser is stopped [s]."""


def browser() -> str | None:
    """The first browser that is found, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def write_pdf(path: Path, page: str) -> None:
    """Print a self-contained page.

    Args:
        path: The PDF file to write or replace.
        page: HTML that needs no other file.

    Raises:
        InputError: If there is no browser, it fails, or the file cannot be written.
    """
    program = browser()
    if program is None:
        raise InputError(f"{path}: no Chromium or Chrome was found to print it; write .html and print that.")
    with tempfile.TemporaryDirectory(prefix="usct-") as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "page.pdf"
        source.write_text(page, encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder}/u",
        ]
        # The browser's own sandbox refuses to run as root; the page is ours and holds no script.
        command += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command += [f"--print-to-pdf={target}", source.as_uri()]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=LONGEST)
            content = target.read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            raise InputError(
                f"{path}: {program} could not print the page ({type(error).__name__}); write .html and print that."
            ) from error
    atomic.write_bytes(path, content)
