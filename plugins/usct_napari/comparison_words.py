"""Scores and lesions of several results as tables for people."""

import math
import os
from collections.abc import Mapping, Sequence

from usct.evaluation.case import CaseScores
from usct.evaluation.lesions import LEAST_CONTRAST, LesionScores
from usct.units import MILLIMETRE

Scores = Mapping[str, CaseScores]


def score_table(scores: Scores) -> str:
    """How results show each lesion, and all other scores, as HTML with a column for each result.

    Args:
        scores: By the result's name; not empty.
    """
    shared = len(os.path.commonprefix(list(scores))) if len(scores) > 1 else 0
    head = _row("", [name[shared:] or name for name in scores])
    columns = [dict((*s.image.rows(), *s.rows())) for s in scores.values()]
    labels = dict.fromkeys(x for column in columns for x in column if not x.startswith("Lesion"))
    rows = [_row(label, [column.get(label, "") for column in columns]) for label in labels]
    lesions = [
        _row(f"{of[0].kind}, {of[0].diameter / MILLIMETRE:.1f} mm", [_seen(lesion) for lesion in of])
        for of in zip(*(s.lesions for s in scores.values()), strict=False)
    ]
    caption = "<p><i>Lesions: share of their contrast that shows, width in the image</i></p>"
    found = f"{caption}{_table(head, lesions)}" if lesions else ""
    return f"{found}<p><i>Image</i></p>{_table(head, rows)}"


def _seen(lesion: LesionScores) -> str:
    if not math.isfinite(lesion.recovery):
        return f"fainter than {LEAST_CONTRAST:g} m/s"
    return f"{lesion.recovery:.0%}, {lesion.measured_diameter / MILLIMETRE:.1f} mm"


def _row(label: str, texts: Sequence[str]) -> str:
    cells = "".join(f"<td style='padding-left:10px'><b>{text}</b></td>" for text in texts)
    return f"<tr><td>{label}</td>{cells}</tr>"


def _table(head: str, rows: Sequence[str]) -> str:
    return f"<table width='100%'>{head}{''.join(rows)}</table>"
