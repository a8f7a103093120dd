"""Parameterizations: how trainable numbers make a medium."""
