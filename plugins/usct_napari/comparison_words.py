"""Scores and lesions of several results as tables for people."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence

from usct.evaluation.case import CaseScores
from usct.evaluation.lesions import LesionScores
from usct.units import MILLIMETRE

Scores = Mapping[str, CaseScores]


def score_table(scores: Scores) -> str:
    """All scores but those of lesions as HTML, a column for each result.

    Args:
        scores: By the result's name; not empty.
    """
    columns = [dict((*s.image.rows(), *s.rows())) for s in scores.values()]
    labels = dict.fromkeys(x for column in columns for x in column if not x.startswith("Lesion"))
    return _table("", scores, ((label, [c.get(label, "") for c in columns]) for label in labels))


def lesion_table(scores: Scores) -> str:
    """How results show each lesion as HTML: the share of its contrast, and how wide it seems; empty without lesions.

    Args:
        scores: By the result's name; not empty.
    """
    lesions = list(zip(*(s.lesions for s in scores.values()), strict=False))
    rows = [(f"{of[0].kind}, {of[0].diameter / MILLIMETRE:.1f} mm", [_seen(x) for x in of]) for of in lesions]
    return _table("Lesion: contrast, width shown", scores, rows) if rows else ""


def _seen(lesion: LesionScores) -> str:
    contrast = f"{lesion.recovery:.0%}" if math.isfinite(lesion.recovery) else "-"
    return f"{contrast}, {lesion.measured_diameter / MILLIMETRE:.1f} mm"


def _table(title: str, scores: Scores, rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    shared = len(os.path.commonprefix(list(scores))) if len(scores) > 1 else 0
    head = "".join(
        f"<th align='left' style='padding-left:10px'>{name[shared:] or name}</th>" for name in scores
    )
    cells = "".join(
        f"<tr><td>{label}</td>"
        + "".join(f"<td style='padding-left:10px'><b>{text}</b></td>" for text in texts)
        + "</tr>"
        for label, texts in rows
    )
    return f"<table width='100%'><tr><th align='left'>{title}</th>{head}</tr>{cells}</table>"
