"""napari plug-in of usct: scans, images and kernels on one screen. No physics, parsing or metric lives here."""

import os
import sys

# Threads that spin while they wait starve each other on small machines; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if "napari.settings" in sys.modules:
    from usct_napari.preferring import prefer

    prefer()
