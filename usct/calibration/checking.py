"""The quality control of any scan."""

from usct.acquisition import Acquisition, Spectra
from usct.calibration.quality import QualityReport
from usct.calibration.spectra_quality import check_spectra
from usct.calibration.trace_quality import check_traces
from usct.errors import InputError


def check(scan: Acquisition, water_only: bool = False) -> QualityReport:
    """Look at every channel of a scan: dead, noisy, clipped, turned, late, misplaced; water, bands, cycle skips.

    Nothing is changed; `mend` masks what is condemned. What the scan cannot show is said to be not checked.

    Args:
        scan: Traces or spectra; its truth is not looked at.
        water_only: There is nothing but water in the ring.

    Raises:
        InputError: If no direct wave can be found at all.
    """
    if isinstance(scan.data, Spectra):
        return check_spectra(scan)
    try:
        return check_traces(scan, water_only)
    except ValueError as error:
        raise InputError(str(error)) from None
