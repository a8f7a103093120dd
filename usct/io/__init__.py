"""Files: one reader or writer per format; units, axis order and signs are converted here and nowhere else."""

from usct.io.arrays import load_arrays, save_arrays
from usct.io.describe import describe, problems
from usct.io.dispatch import load, save

__all__ = ["describe", "load", "load_arrays", "problems", "save", "save_arrays"]
