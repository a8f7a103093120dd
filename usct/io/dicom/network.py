"""Sending to and fetching from an archive (PACS), with pynetdicom, which the extra `dicom` brings.

Nothing is encrypted: use it inside a trusted network only.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset

from usct.errors import InputError
from usct.io.atomic import prepare_folder
from usct.io.dicom.opening import open_all
from usct.io.dicom.study import save

_SUCCESS = 0x0000
_WARNINGS = 0xB000
_KINDS = (
    uid.ParametricMapStorage, uid.SegmentationStorage, uid.Comprehensive3DSRStorage, uid.RawDataStorage,
    uid.SecondaryCaptureImageStorage, uid.CTImageStorage, uid.MRImageStorage, uid.UltrasoundImageStorage,
    uid.UltrasoundMultiFrameImageStorage, uid.EnhancedCTImageStorage, uid.EnhancedMRImageStorage,
    uid.EnhancedUSVolumeStorage,
)  # fmt: skip


@dataclass(frozen=True)
class Archive:
    """Where an archive listens.

    Attributes:
        host: Name or address.
        port: Of its DICOM service.
        title: Its application entity title.
        own_title: Ours.
        timeout: How long it may take to answer [s].
    """

    host: str
    port: int = 104
    title: str = "ANY-SCP"
    own_title: str = "USCT"
    timeout: float = 30.0

    @classmethod
    def of(cls, address: str) -> "Archive":
        """From `TITLE@host:port`, of which title and port may be left out.

        Raises:
            InputError: If it cannot be understood.
        """
        title, _, place = address.rpartition("@")
        host, _, port = place.partition(":")
        if not host or (port and not port.isdigit()) or len(title) > 16:
            raise InputError(
                f"'{address}' names no archive; write TITLE@host:port, such as ORTHANC@localhost:4242."
            )
        return cls(host, int(port) if port else 104, title or "ANY-SCP")


def send(path: Path, archive: Archive) -> int:
    """Send a DICOM file, or all of a folder (C-STORE).

    Returns:
        How many objects were stored.

    Raises:
        InputError: If the archive cannot be reached or refuses one.
    """
    found = open_all(path)
    net = _pynetdicom()
    entity = _entity(net, archive)
    for kind, syntax in sorted({(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for _, d in found}):
        entity.add_requested_context(kind, syntax)
    link = _linked(entity, archive, ())
    try:
        for file, _ in found:
            try:
                status = link.send_c_store(pydicom.dcmread(file))
            except (ValueError, RuntimeError, AttributeError) as error:
                raise InputError(f"{file}: {_where(archive)} does not take it ({error}).") from error
            if "Status" not in status or not (
                status.Status == _SUCCESS or status.Status & 0xF000 == _WARNINGS
            ):
                code = f"{status.Status:04X}" if "Status" in status else "no answer"
                raise InputError(f"{file}: {_where(archive)} refused it (status {code}); see its log.")
    finally:
        link.release()
    return len(found)


def fetch(study: str, folder: Path, archive: Archive) -> tuple[Path, ...]:
    """Fetch a study by its UID (C-GET).

    Args:
        study: StudyInstanceUID.
        folder: For the files, which get the names of their UIDs.
        archive: Where from.

    Raises:
        InputError: If the archive cannot be reached, does not have it, or a file cannot be written.
    """
    if not uid.UID(study).is_valid:
        raise InputError(f"'{study}' is no study UID; give digits and dots.")
    net = _pynetdicom()
    entity = _entity(net, archive)
    model = "1.2.840.10008.5.1.4.1.2.2.3"
    entity.add_requested_context(model)
    for kind in _KINDS:
        entity.add_requested_context(kind, [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
    prepare_folder(folder)
    written: list[Path] = []

    def keep(event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        # The name comes from elsewhere and must stay inside the folder.
        name = uid.UID(str(dataset.SOPInstanceUID))
        if not name.is_valid:
            return 0xC000
        save(dataset, folder / f"{name}.dcm")
        written.append(folder / f"{name}.dcm")
        return _SUCCESS

    roles = [net.build_role(kind, scp_role=True) for kind in _KINDS]
    link = _linked(entity, archive, roles, [(net.evt.EVT_C_STORE, keep)])
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
    try:
        codes = [status.get("Status") for status, _ in link.send_c_get(query, model)]
    finally:
        link.release()
    last = codes[-1] if codes else None
    if not written or last is None or not (last == _SUCCESS or last & 0xF000 == _WARNINGS):
        raise InputError(f"{_where(archive)} has no study {study}, or does not give it out; check the UID.")
    return tuple(written)


def _pynetdicom() -> ModuleType:
    try:
        import pynetdicom
    except ImportError:
        raise InputError(
            "archives need pynetdicom, which is not installed; run pip install 'usct[dicom]'."
        ) from None
    return pynetdicom


def _entity(net: ModuleType, archive: Archive) -> Any:
    entity = net.AE(archive.own_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = archive.timeout
    entity.connection_timeout = archive.timeout
    return entity


def _linked(entity: Any, archive: Archive, roles: Sequence[object], handlers: Sequence[object] = ()) -> Any:
    # pynetdicom leaves its socket open where nobody listens, so ask first.
    try:
        socket.create_connection((archive.host, archive.port), archive.timeout).close()
    except OSError as error:
        raise InputError(
            f"{_where(archive)} does not answer ({error.strerror or error}); check host and port."
        ) from error
    link = entity.associate(
        archive.host, archive.port, ae_title=archive.title, ext_neg=list(roles), evt_handlers=list(handlers)
    )
    if not link.is_established:
        raise InputError(f"{_where(archive)} refuses to talk; check its title and whether it knows ours.")
    return link


def _where(archive: Archive) -> str:
    return f"the archive {archive.title}@{archive.host}:{archive.port}"
