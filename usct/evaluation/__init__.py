"""Scores: how far a reconstruction is from the truth."""

from usct.evaluation.case import CaseScores, evaluate_case
from usct.evaluation.image_metrics import Scores, evaluate
from usct.evaluation.regions import eroded, object_mask

__all__ = ["CaseScores", "Scores", "eroded", "evaluate", "evaluate_case", "object_mask"]
