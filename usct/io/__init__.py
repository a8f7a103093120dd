"""Files: one reader or writer per format; units, axis order and signs are converted here and nowhere else."""
