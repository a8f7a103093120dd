"""Presets: settings for common scanners, as TOML."""
