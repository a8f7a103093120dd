"""Holds the plug-in's manifest, `napari.yaml`.

In a package of its own, because napari imports what is around a manifest's package when it looks for plug-ins, and the
plug-in can then say which files it opens before napari asks (`usct_napari.preferring`).
"""
