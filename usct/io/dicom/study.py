"""What every object that the package writes has in common: a study, nobody's name, and the equipment."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

import usct
from usct.errors import InputError
from usct.io.atomic import replacing

MANUFACTURER = "usct"
_PAIRED = ("BREAST",)


@dataclass(frozen=True)
class Study:
    """What objects that belong together share; without a subject they are de-identified.

    Attributes:
        subject: Pseudonym of the subject, or '' for nobody's; never a name that was born with.
        body_part: DICOM's word, such as BREAST or HEAD, or ''.
        laterality: 'L' or 'R' for paired organs, or ''.
        uid: Of the study.
        space: UID of the coordinates that all images share.
        time: When the objects were made.
    """

    subject: str = ""
    body_part: str = ""
    laterality: str = ""
    uid: str = field(default_factory=generate_uid)
    space: str = field(default_factory=generate_uid)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        """Refuse words that DICOM does not know."""
        if self.laterality not in ("", "L", "R"):
            raise InputError(f"the laterality is '{self.laterality}'; give L or R, or leave it out.")
        if self.body_part in _PAIRED and not self.laterality:
            raise InputError(f"{self.body_part} is paired and its side is not given; give L or R with it.")


def blank(kind: str, study: Study, series: str, number: int) -> Dataset:
    """An object with all that any class needs, and no pixels.

    Args:
        kind: UID of its class.
        study: What it shares with others.
        series: UID of its series.
        number: Of the instance in its series.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(kind)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = "", study.subject
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "No identity was ever written"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study.uid, series
    dataset.StudyDate = dataset.ContentDate = study.time.strftime("%Y%m%d")
    dataset.StudyTime = dataset.ContentTime = study.time.strftime("%H%M%S")
    dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "US", 1, number
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, MANUFACTURER
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0", usct.__version__
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = study.space, ""
    add_anatomy(dataset, study)
    return dataset


def add_anatomy(dataset: Dataset, study: Study) -> None:
    """Say which part of the body an object shows."""
    if study.body_part:
        dataset.BodyPartExamined = study.body_part
    if study.laterality or not study.body_part:
        # Left empty it says that the side is unknown, which must be said of a body part that is unknown too.
        dataset.Laterality = study.laterality


def save(dataset: Dataset, path: Path) -> None:
    """Write an object in one step.

    Raises:
        InputError: If the file cannot be written.
    """
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True, overwrite=True)
