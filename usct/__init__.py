"""Quantitative ultrasound computed tomography: from ring-array data to images of sound speed.

Conventions: SI units everywhere (a name without a unit suffix is SI); the time factor is exp(+i omega t),
so outgoing waves run as exp(-i k r) and lossy slowness is 1/c - i alpha/omega; the residual is predicted
minus observed; array axes and coordinate columns are (y, x) or (z, y, x); data are (frequency, transmit,
receive) or (transmit, receive, time).

Research use only. Not a medical device. Not for diagnosis.
"""

__version__ = "0.1.0"
