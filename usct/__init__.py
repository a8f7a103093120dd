"""Quantitative ultrasound computed tomography: from ring-array data to images of sound speed.

Conventions: SI units everywhere (a name without a unit suffix is SI); the time factor is exp(+i omega t),
so outgoing waves run as exp(-i k r) and lossy slowness is 1/c - i alpha/omega; the residual is predicted
minus observed; array axes and coordinate columns are (y, x) or (z, y, x); data are (frequency, transmit,
receive) or (transmit, receive, time).

Research use only. Not a medical device. Not for diagnosis.
"""

__version__ = "0.1.0"

_PUBLIC = {
    "Acquisition": "usct.acquisition",
    "Grid": "usct.grid",
    "Medium": "usct.medium",
    "Spectra": "usct.acquisition",
    "Traces": "usct.acquisition",
    "TransducerArray": "usct.acquisition",
    "calibrate": "usct.calibration.water",
    "check": "usct.calibration.checking",
    "compare": "usct.comparison",
    "compare_kernels": "usct.kernel_comparison",
    "diagnose": "usct.api",
    "evaluate": "usct.evaluation",
    "load": "usct.io",
    "load_config": "usct.config",
    "make_phantom": "usct.phantom",
    "reconstruct": "usct.api",
    "save": "usct.io",
    "simulate": "usct.api",
}
"""Public names and the modules they come from; loaded when first used, so that `import usct` stays light."""

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 # names of a literal dictionary


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'usct' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), "make" if name == "make_phantom" else name)


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
