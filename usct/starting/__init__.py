"""Start models."""
