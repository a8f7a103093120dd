"""Files: one reader or writer per format; units, axis order and signs are converted here and nowhere else."""

from usct.io.arrays import load_arrays, save_arrays
from usct.io.describe import describe, problems
from usct.io.dispatch import Loaded, holds_travel_times, load, save

__all__ = [
    "Loaded",
    "describe",
    "holds_travel_times",
    "load",
    "load_arrays",
    "problems",
    "save",
    "save_arrays",
]
