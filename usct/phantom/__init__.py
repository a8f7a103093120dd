"""Phantoms: tissue tables and recipes turned into media of known make-up."""

from usct.phantom.base import Phantom
from usct.phantom.cases import Case, case_names, load_case
from usct.phantom.catalogue import make, make_volume, names
from usct.phantom.label_maps import VICTRE, phantom_from_labels
from usct.phantom.tissue import Draw, Tissue, TissueTable, load_tissues
from usct.phantom.volume import ellipsoid

__all__ = [
    "VICTRE",
    "Case",
    "Draw",
    "Phantom",
    "Tissue",
    "TissueTable",
    "case_names",
    "ellipsoid",
    "load_case",
    "load_tissues",
    "make",
    "make_volume",
    "names",
    "phantom_from_labels",
]
