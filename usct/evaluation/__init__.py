"""Evaluation of an image against the truth."""
