"""Misfits: how predicted and observed data are compared."""
