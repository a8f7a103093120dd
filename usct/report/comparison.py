"""The page that shows which representation wins: one file, no script, no network."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from usct.evaluation.trials import Comparison, Mark, Trial
from usct.io import atomic
from usct.report import comparison_figures
from usct.report.drawing import png
from usct.report.html import embedded, render

LEVEL_SHARE = 0.02
"""Errors that differ by less than this share of the lowest count as level."""

NEAR_SHARE = 0.1
"""A run is nearly there when this share of the way from the start's error to the lowest is left."""

GLOSSARY = {
    "pixel": "one number for every pixel; updates are freed of detail that the waves cannot resolve",
    "filtered": "pixels whose updates pass through the same Fourier filter that the tailored field has built in: "
    "the control that tells whether the filter alone explains a gain",
    "fourier": "a neural network on sines of random (Gaussian) wavenumbers",
    "tailored": "sines whose wavenumbers and strengths are fitted to what the scan's waves can see",
    "siren": "a neural network that is made of sines throughout",
    "multigrid": "grids of several resolutions, read by a small network",
    "hybrid": "a sine network and grids of several resolutions together",
}
"""What each representation is, for people."""

_ENDINGS = {
    "finished": "finished",
    "not_finite": "broke down",
    "cancelled": "cancelled",
    "failed": "failed",
    "not_run": "not run",
}


@dataclass(frozen=True)
class _Cell:
    """One cell of the table."""

    text: str
    best: bool = False


def comparison_page(comparison: Comparison, title: str = "") -> str:
    """Compose the page as text.

    Args:
        comparison: What became of the runs.
        title: A name for people.

    Returns:
        HTML that needs no other file.
    """
    names = dict.fromkeys(trial.name.partition(":")[0] for trial in comparison.trials)
    close_ups = embedded(comparison_figures.close_ups_figure(comparison)) if comparison.spots else ""
    return render(
        "comparison.html.j2",
        {
            "title": title or heading(comparison),
            "lead": " ".join((premise(comparison), *verdict(comparison))),
            "rows": _rows(comparison),
            "troubles": [(t.name, t.message) for t in comparison.trials if t.outcome != "finished"],
            "curves": embedded(comparison_figures.curves_figure(comparison)),
            "images": embedded(comparison_figures.images_figure(comparison)),
            "close_ups": close_ups,
            "outlined": any(spot.outline is not None for spot in comparison.spots),
            "glossary": [(name, GLOSSARY[name]) for name in names if name in GLOSSARY],
        },
    )


def write_comparison(
    page: str | os.PathLike[str], picture: str | os.PathLike[str], comparison: Comparison
) -> None:
    """Write the page and, beside it, all its figures as one picture.

    Args:
        page: HTML file to write or replace.
        picture: PNG file to write or replace.
        comparison: What became of the runs.

    Raises:
        InputError: If a file cannot be written; what was there before is unchanged.
    """
    caption = " ".join((premise(comparison), *verdict(comparison)))
    figure = comparison_figures.comparison_figure(comparison, heading(comparison), caption)
    atomic.write_bytes(picture, png(figure))
    atomic.write_text(page, comparison_page(comparison))


def heading(comparison: Comparison) -> str:
    """What was compared, in a line."""
    count = len(comparison.trials)
    ways = "One way" if count == 1 else f"{count} ways"
    return f"{ways} to represent the image of one scan" + (f": {comparison.scan}" if comparison.scan else "")


def premise(comparison: Comparison) -> str:
    """How the runs were made, in two sentences."""
    start = ""
    if math.isfinite(comparison.start_rmse):
        start = f", whose error inside the object is {comparison.start_rmse:.1f} m/s"
    return (
        "The same data were turned into an image of sound speed by full-waveform inversion, once with each "
        f"way of representing the image. Every run began at the same start{start}, and might solve the wave "
        f"equation equally often: {comparison.budget} factorisations of the wave operator."
    )


def verdict(comparison: Comparison) -> tuple[str, ...]:
    """Who came closest to the truth, and who came near first, in plain sentences."""
    ranking = comparison.ranking
    if not ranking:
        return ("No run gave an image that could be scored.",)
    best, lowest, start = ranking[0], ranking[0].marks[-1].rmse, comparison.start_rmse
    if lowest >= start:
        return (f"None came closer to the truth than the start; {best.name} is least far, {lowest:.2f} m/s.",)
    sentences = [f"{_capital(best.name)} ends with the lowest error, {lowest:.2f} m/s."]
    level = [t.name for t in ranking[1:] if t.marks[-1].rmse <= (1 + LEVEL_SHARE) * lowest]
    if level:
        sentences.append(f"Within {LEVEL_SHARE:.0%} of it, which is as good as level: {', '.join(level)}.")
    worse = [t.name for t in ranking if t.marks[-1].rmse > start]
    if worse:
        sentences.append(f"Further from the truth than the start ended: {', '.join(worse)}.")
    if math.isfinite(start) and len(ranking) > 1:
        sentences.append(_first_to(ranking, lowest + NEAR_SHARE * (start - lowest)))
    return tuple(sentences)


def _first_to(ranking: Sequence[Trial], goal: float) -> str:
    """Who was first below an error, by solves and by the clock."""
    # Rounded up, so that the sentence holds for the number it shows.
    shown = math.ceil(10 * goal) / 10
    arrivals = [(trial.name, mark) for trial in ranking if (mark := _arrival(trial, shown)) is not None]
    by_solves = min(mark.solves for _, mark in arrivals)
    name, mark = min(arrivals, key=lambda arrival: arrival[1].seconds)
    early = [who for who, when in arrivals if when.solves == by_solves]
    return (
        f"First below {shown:.1f} m/s, that is nine tenths of the way there: by work {', '.join(early)}, after "
        f"{by_solves} factorisations; by the clock {name}, after {_seconds(mark.seconds)}."
    )


def _arrival(trial: Trial, goal: float) -> Mark | None:
    return next((mark for mark in trial.marks if mark.rmse <= goal), None)


def _rows(comparison: Comparison) -> list[list[_Cell]]:
    """The table, best of each score marked."""
    scored = comparison.ranking
    best_rmse = _best([t.marks[-1].rmse for t in scored], min)
    best_resolved = _best([t.marks[-1].rmse_resolved for t in scored], min)
    best_ssim = _best([t.scores.ssim for t in scored if t.scores is not None], max)
    rows = []
    for trial in comparison.trials:
        last, ssim = trial.last, trial.scores.ssim if trial.scores is not None else math.nan
        cells = [_Cell(trial.name), _Cell(_count(trial.n_parameters)), _Cell(trial.optimizer or "–")]
        if last is None:
            cells += [_Cell("–")] * 6
        else:
            cells += [
                _Cell(str(last.solves)),
                _Cell(f"{last.seconds:.1f}"),
                _Cell(_number(last.rmse, 2), last.rmse == best_rmse),
                _Cell(_number(last.rmse_resolved, 2), last.rmse_resolved == best_resolved),
                _Cell(_number(ssim, 3), ssim == best_ssim),
                _Cell(_number(last.residual, 4)),
            ]
        rows.append([*cells, _Cell(_ENDINGS[trial.outcome])])
    return rows


def _best(values: Sequence[float], choose: Callable[[Sequence[float]], float]) -> float | None:
    """The best of the values that are finite, or None."""
    finite = [value for value in values if math.isfinite(value)]
    return choose(finite) if finite else None


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.1f} min"


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
