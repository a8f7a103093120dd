"""Scores: how far a reconstruction is from the truth."""

from usct.evaluation.image_metrics import Scores, evaluate
from usct.evaluation.regions import eroded, object_mask

__all__ = ["Scores", "eroded", "evaluate", "object_mask"]
