"""Which data take part: neighbours of the transmitter and outliers do not."""

import math
from dataclasses import replace

import torch

from usct.acquisition import Spectra, TransducerArray


def select(
    spectra: Spectra,
    array: TransducerArray,
    mute_angle: float,
    outlier_fraction: float,
    widest_angle: float = math.pi,
) -> Spectra:
    """Give weight zero to data that would mislead the inversion.

    Receivers close to the transmitter see the direct wave alone, strong and poorly modelled; the largest
    magnitudes at each frequency are often artefacts (Ali et al., IEEE Trans. Med. Imaging 43 (2024) 3988).

    Args:
        spectra: Data.
        array: Where they were recorded.
        mute_angle: Smallest angle between transmit and receive, seen from the centre [rad].
        outlier_fraction: Share of the remaining data, by magnitude, dropped at each frequency [1].
        widest_angle: Largest such angle; below a right one waves have turned back, at edges for the most part [rad].

    Raises:
        ValueError: If a frequency is left without data.
    """
    angles = array.opening_angles()
    # Rounding must not leave out the receiver opposite.
    weights = spectra.weights * ((angles >= mute_angle) & (angles <= widest_angle + 1e-9))
    rows = []
    for values, weight, frequency in zip(spectra.values, weights, spectra.frequencies.tolist(), strict=True):
        magnitude = values.abs()[weight > 0]
        if not len(magnitude) or float(magnitude.max()) == 0.0:
            raise ValueError(
                f"no usable data are left at {frequency / 1e3:g} kHz; "
                "check the scan with `usct info`, lower misfit.mute_angle_deg, raise misfit.widest_angle_deg or leave "
                "this frequency out"
            )
        keep = max(1, round((1.0 - outlier_fraction) * len(magnitude)))
        limit = magnitude.kthvalue(keep).values
        rows.append(torch.where(values.abs() <= limit, weight, 0.0))
    kept = torch.stack(rows)
    # What counts nothing may be undefined, and zero times undefined is undefined.
    return replace(spectra, values=torch.where(kept > 0, spectra.values, 0), weights=kept)
