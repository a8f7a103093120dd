"""Diagnostics: what the data support, how fast it is learnt, and what a representation makes of it."""
