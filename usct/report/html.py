"""One self-contained page about one result: no script, no network, no second file."""

import base64
import os
from collections.abc import Mapping, Sequence

import jinja2
from matplotlib.figure import Figure

from usct import __version__
from usct.evaluation import Scores
from usct.io import atomic
from usct.medium import Medium
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction
from usct.report.drawing import png
from usct.report.figures import reconstruction_figure
from usct.units import MILLIMETRE


def page(
    reconstruction: Reconstruction,
    truth: Medium | None = None,
    scores: Scores | None = None,
    title: str = "",
    details: Sequence[tuple[str, str]] = (),
) -> str:
    """Compose the page as text.

    Args:
        reconstruction: The result.
        truth: The medium that made the data, drawn beside the image.
        scores: How image and truth compare.
        title: A name for people, such as the name of the file.
        details: Label and text of scores of parts, such as tissues and lesions.

    Returns:
        HTML that needs no other file.
    """
    heading = title or "Sound-speed reconstruction"
    return render(
        "page.html.j2",
        {
            "title": heading,
            "lead": reconstruction.message,
            "scores": scores.rows() if scores is not None else (),
            "picture": embedded(reconstruction_figure(reconstruction, truth, heading)),
            "details": details,
            "facts": _facts(reconstruction),
            "history": reconstruction.history,
        },
    )


def render(template: str, facts: Mapping[str, object]) -> str:
    """Fill in a template that extends the page all reports share; every name in it must be among the facts.

    Args:
        template: Name of a file beside this one.
        facts: By name; the notice and the version are added. Text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("usct", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    shared = {"notice": RESEARCH_USE_ONLY, "version": __version__}
    return environment.get_template(template).render({**facts, **shared})


def embedded(figure: Figure) -> str:
    """A figure as text that stands inside a page."""
    return base64.b64encode(png(figure)).decode("ascii")


def write_report(
    path: str | os.PathLike[str],
    reconstruction: Reconstruction,
    truth: Medium | None = None,
    scores: Scores | None = None,
    title: str = "",
    details: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the page of one result in one step.

    Args:
        path: The HTML file to write or replace.
        reconstruction: The result.
        truth: The medium that made the data, drawn beside the image.
        scores: How image and truth compare.
        title: A name for people, such as the name of the file.
        details: Label and text of scores of parts, such as tissues and lesions.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    atomic.write_text(path, page(reconstruction, truth, scores, title, details))


def _facts(reconstruction: Reconstruction) -> list[tuple[str, str]]:
    """What was run, on what and with which settings, as label and text."""
    grid, history = reconstruction.medium.grid, reconstruction.history
    facts = [
        ("Status", reconstruction.status.value),
        ("Image", f"{' x '.join(map(str, grid.shape))} cells of {grid.spacing / MILLIMETRE:.3g} mm"),
    ]
    if reconstruction.skips is not None:
        facts.append(("Cycle skips", reconstruction.skips.sentence()))
    if history:
        facts.append(("Iterations", f"{len(history)}, {history[-1].n_solves} factorisations"))
        facts.append(("Wall time", f"{history[-1].seconds:.1f} s"))
        facts.append(
            ("Objective", f"{history[0].objective:.4g} at first, {history[-1].objective:.4g} at last")
        )
    return facts + sorted(reconstruction.provenance.items())
