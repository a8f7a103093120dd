"""Start models from computed tomography of a head."""
