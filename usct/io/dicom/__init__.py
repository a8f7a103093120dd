"""DICOM: images, maps and labels from other machines, and the package's own objects for archives and viewers."""

from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import is_dicom
from usct.io.dicom.reading import read_dicom
from usct.io.dicom.ring import read_ring, write_ring
from usct.io.dicom.study import Study

__all__ = ["DicomLayer", "Study", "is_dicom", "read_dicom", "read_ring", "write_ring"]
