"""DICOM: images, maps and labels from other machines, and the package's own objects for archives and viewers."""

from usct.io.dicom.layers import DicomLayer
from usct.io.dicom.opening import is_dicom
from usct.io.dicom.reading import read_dicom

__all__ = ["DicomLayer", "is_dicom", "read_dicom"]
