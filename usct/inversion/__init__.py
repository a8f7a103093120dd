"""Inversion: frequency continuation, optimizers and the loop."""
