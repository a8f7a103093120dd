"""Images for readers who must not know which method made them, and what their answers come to."""

import csv
import io as text_io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usct.errors import InputError
from usct.evaluation.intervals import Estimate
from usct.evaluation.roc import clustered_auc
from usct.io import atomic
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction
from usct.report.cohort import Cohort
from usct.report.drawing import FAINT, bare, blank, png, show

HALF_WIDTH = 20e-3
"""Half the side of a close-up [m]."""

WINDOW = (1400.0, 1600.0)
"""Sound speeds from black to white [m/s]; the same for every image."""

RATINGS = (1, 5)
KEY_COLUMNS = ("image", "case", "method", "lesion", "y_m", "x_m")
ANSWER_COLUMNS = ("image", "rating_1_to_5", "comment")

_INSTRUCTIONS = f"""{RESEARCH_USE_ONLY}

Each image shows 40 x 40 mm of sound speed from 1400 m/s (black) to 1600 m/s (white).
The marks outside the frame point at its middle. Is there a lesion in the middle?
Look at the images in the order of their names, and write into answers.csv for each:
1 definitely not   2 probably not   3 undecided   4 probably   5 definitely
Leave a line empty if you cannot judge it. Do not talk to other readers before you have finished.
"""


@dataclass(frozen=True)
class _Place:
    """One close-up before it is shuffled."""

    case: str
    method: str
    lesion: str
    centre: tuple[float, float]
    result: Reconstruction


def export_study(cohort: Cohort, folder: Path, key: Path, seed: int = 0) -> int:
    """Write blinded close-ups in random order, an empty sheet for answers, and, apart from both, the key.

    Every lesion, and every lesion-free place that the numerical observer looked at, is shown once for each method.
    File names tell nothing but the random order, and nothing in a picture tells its method.

    Args:
        cohort: Results with scores.
        folder: For images, answers.csv and instructions.txt; new or empty.
        key: CSV file to write; not in the folder.
        seed: Of the order.

    Returns:
        How many images were written.

    Raises:
        InputError: If there is nothing to show, the folder holds files, or the key would lie in it.
    """
    if folder.resolve() in key.resolve().parents:
        raise InputError(f"{key}: the key would lie among the images; choose a place outside {folder}.")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: there are files in it; give a new folder, so that studies do not mix.")
    places = _places(cohort)
    if not places:
        raise InputError(
            f"{cohort.folder}: no finished run says where lesions are; reconstruct phantoms first."
        )
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(seed).permutation(len(places))
    rows = []
    for number, index in enumerate(order, 1):
        place, name = places[index], f"image-{number:04d}.png"
        atomic.write_bytes(folder / name, _close_up(place))
        rows.append((name, place.case, place.method, place.lesion, *place.centre))
    atomic.write_text(key, _csv(KEY_COLUMNS, rows))
    atomic.write_text(folder / "answers.csv", _csv(ANSWER_COLUMNS, [(row[0], "", "") for row in rows]))
    atomic.write_text(folder / "instructions.txt", _INSTRUCTIONS)
    return len(rows)


def _places(cohort: Cohort) -> list[_Place]:
    places = []
    for run in cohort.runs:
        patches = run.items("patches")
        result = run.result() if patches else None
        if result is not None and result.medium.grid.n_dims == 2:
            for patch in patches:
                y, x = patch["centre"]
                places.append(_Place(run.case, run.method, str(patch["kind"]), (float(y), float(x)), result))
    return places


def _close_up(place: _Place) -> bytes:
    figure = blank(4.0, 4.0)
    ax = figure.subplots()
    grid = place.result.medium.grid
    show(ax, place.result.medium.sound_speed, grid, WINDOW)
    (y, x), half = (1e3 * v for v in place.centre), 1e3 * HALF_WIDTH
    ax.set(xlim=(x - half, x + half), ylim=(y + half, y - half), facecolor="black")
    bare(ax)
    for across, up in (((0.5, 0.5), (-0.03, 0.0)), ((0.5, 0.5), (1.0, 1.03))):
        ax.plot(across, up, color=FAINT, transform=ax.transAxes, clip_on=False)
        ax.plot(up, across, color=FAINT, transform=ax.transAxes, clip_on=False)
    return png(figure)


@dataclass(frozen=True)
class ReaderScore:
    """What one reader makes of one method's images.

    Attributes:
        reader: Name of the file of answers.
        method: Name of the method.
        area: Under the operating characteristic, resampled by case.
        n_rated: Images that were rated.
        n_shown: Images of that method.
    """

    reader: str
    method: str
    area: Estimate
    n_rated: int
    n_shown: int


def score_readers(key: Path, answers: Sequence[Path]) -> list[ReaderScore]:
    """Area under each reader's operating characteristic for each method.

    Args:
        key: What `export_study` wrote.
        answers: One filled-in sheet for each reader.

    Returns:
        One score for each reader and method; images without a rating are left out and counted.

    Raises:
        InputError: If a file cannot be read, names an unknown image, or holds a rating that is not 1 to 5.
    """
    shown = {row["image"]: row for row in _table(key, KEY_COLUMNS)}
    methods = sorted({row["method"] for row in shown.values()})
    scores = []
    for path in answers:
        ratings = _ratings(path, set(shown))
        for method in methods:
            of = [row for row in shown.values() if row["method"] == method]
            rated = [row for row in of if row["image"] in ratings]
            values = np.array([ratings[row["image"]] for row in rated])
            present = np.array([bool(row["lesion"]) for row in rated], dtype=bool)
            _, cases = np.unique([row["case"] for row in rated], return_inverse=True)
            nothing = Estimate(math.nan, math.nan, math.nan, 0)
            area = clustered_auc(values, present, cases) if rated else nothing
            scores.append(ReaderScore(path.stem, method, area, len(rated), len(of)))
    return scores


def _ratings(path: Path, images: set[str]) -> dict[str, float]:
    ratings: dict[str, float] = {}
    for row in _table(path, ANSWER_COLUMNS[:2]):
        image, text = row["image"], (row["rating_1_to_5"] or "").strip()
        if image not in images:
            raise InputError(f"{path}: {image!r} is not in the key; give the answers to this study.")
        if not text:
            continue
        if text not in {str(n) for n in range(RATINGS[0], RATINGS[1] + 1)}:
            raise InputError(f"{path}: the rating of {image} is {text!r}; write a whole number from 1 to 5.")
        ratings[image] = float(text)
    return ratings


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: the table cannot be read ({error}); give a CSV file in UTF-8.") from error
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise InputError(
            f"{path}: there is no column {missing[0]!r}; give a file that 'usct reader-study' made."
        )
    return rows


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = text_io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()
