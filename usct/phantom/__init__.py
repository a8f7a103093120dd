"""Phantoms: tissue tables and recipes turned into media of known make-up."""
