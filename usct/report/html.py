"""One self-contained page about one result: no script, no network, no second file."""

import base64
import os

import jinja2

from usct import __version__
from usct.evaluation import Scores
from usct.io import atomic
from usct.medium import Medium
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction
from usct.report.figures import png, reconstruction_figure
from usct.units import MILLIMETRE


def page(
    reconstruction: Reconstruction, truth: Medium | None = None, scores: Scores | None = None, title: str = ""
) -> str:
    """Compose the page as text.

    Args:
        reconstruction: The result.
        truth: The medium that made the data, drawn beside the image.
        scores: How image and truth compare.
        title: A name for people, such as the name of the file.

    Returns:
        HTML that needs no other file.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("usct", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    heading = title or "Sound-speed reconstruction"
    return environment.get_template("page.html.j2").render(
        title=heading,
        message=reconstruction.message,
        notice=RESEARCH_USE_ONLY,
        scores=scores.rows() if scores is not None else (),
        picture=base64.b64encode(png(reconstruction_figure(reconstruction, truth, heading))).decode("ascii"),
        facts=_facts(reconstruction),
        history=reconstruction.history,
        version=__version__,
    )


def write_report(
    path: str | os.PathLike[str],
    reconstruction: Reconstruction,
    truth: Medium | None = None,
    scores: Scores | None = None,
    title: str = "",
) -> None:
    """Write the page of one result in one step.

    Args:
        path: The HTML file to write or replace.
        reconstruction: The result.
        truth: The medium that made the data, drawn beside the image.
        scores: How image and truth compare.
        title: A name for people, such as the name of the file.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    atomic.write_text(path, page(reconstruction, truth, scores, title))


def _facts(reconstruction: Reconstruction) -> list[tuple[str, str]]:
    """What was run, on what and with which settings, as label and text."""
    grid, history = reconstruction.medium.grid, reconstruction.history
    facts = [
        ("Status", reconstruction.status.value),
        ("Image", f"{' x '.join(map(str, grid.shape))} cells of {grid.spacing / MILLIMETRE:.3g} mm"),
    ]
    if history:
        facts.append(("Iterations", f"{len(history)}, {history[-1].n_solves} factorisations"))
        facts.append(("Wall time", f"{history[-1].seconds:.1f} s"))
        facts.append(
            ("Objective", f"{history[0].objective:.4g} at first, {history[-1].objective:.4g} at last")
        )
    return facts + sorted(reconstruction.provenance.items())
