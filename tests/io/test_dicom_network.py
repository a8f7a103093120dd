"""Sending to and fetching from a real archive on this machine."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

import usct.io
from tests.io.io_helpers import assert_same
from usct.acquisition import Acquisition
from usct.cli.app import main
from usct.errors import InputError
from usct.io.dicom import Study, write_ring
from usct.io.export_study import write_study
from usct.phantom.base import Phantom

pytest.importorskip("pynetdicom", reason="pynetdicom (extra dicom) is not installed")

from usct.io.dicom.network import Archive, fetch, send


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Archive]:
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None:
        pytest.skip("Orthanc is not installed")
    port = free_port()
    settings = {
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "Plugins": [],
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    process = subprocess.Popen(
        [program, str(tmp_path / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            pytest.skip("Orthanc did not start within 10 s")
        yield Archive("127.0.0.1", port, "ORTHANC")
    finally:
        process.terminate()
        process.wait(20)


def test_a_scan_survives_the_archive(orthanc: Archive, scan: Acquisition, tmp_path: Path) -> None:
    study = Study("S-9")
    (tmp_path / "out").mkdir()
    write_ring(scan, tmp_path / "out" / "scan.dcm", study)
    assert send(tmp_path / "out", orthanc) == 1
    with pytest.raises(SystemExit) as left:
        main(["pacs", "fetch", f"ORTHANC@127.0.0.1:{orthanc.port}", study.uid, str(tmp_path / "in")])
    assert left.value.code == 0
    (fetched,) = (tmp_path / "in").iterdir()
    assert_same(usct.io.load(fetched), scan)
    with pytest.raises(InputError, match=r"has no study 1\.2\.3"):
        fetch("1.2.3", tmp_path / "in", orthanc)


def test_a_study_of_images_survives_the_archive_and_stays_valid(
    orthanc: Archive, phantom: Phantom, scan: Acquisition, tmp_path: Path
) -> None:
    """Maps, labels, report, picture and channel data: to the bit, under the same names, without an error."""
    pytest.importorskip("highdicom", reason="highdicom (extra dicom) is not installed")
    study = Study("S-10", "BREAST", "L")
    written = write_study(phantom, tmp_path / "out", study, Path("phantom.h5"))
    written += write_ring(scan, tmp_path / "out" / "scan.dcm", study)
    sent = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, written)}
    assert {ds.SOPClassUID.name.removesuffix(" Storage") for ds in sent.values()} == {
        "Parametric Map",
        "Segmentation",
        "Comprehensive 3D SR",
        "Secondary Capture Image",
        "Raw Data",
    }
    assert send(tmp_path / "out", orthanc) == len(written)
    fetched = fetch(study.uid, tmp_path / "in", orthanc)
    assert {pydicom.dcmread(path).SOPInstanceUID for path in fetched} == set(sent)
    for path in fetched:
        came = pydicom.dcmread(path)
        original = sent[came.SOPInstanceUID]
        assert came.to_json() == original.to_json()
        if shutil.which("dciodvfy"):
            done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
            assert "Error" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_an_archive_that_is_not_there(scan: Acquisition, tmp_path: Path) -> None:
    write_ring(scan, tmp_path / "scan.dcm")
    nowhere = Archive("127.0.0.1", free_port(), timeout=2.0)
    with pytest.raises(InputError, match="does not answer"):
        send(tmp_path / "scan.dcm", nowhere)


def test_addresses() -> None:
    assert Archive.of("ORTHANC@localhost:4242") == Archive("localhost", 4242, "ORTHANC")
    assert Archive.of("pacs.clinic") == Archive("pacs.clinic", 104, "ANY-SCP")
    for wrong in ("", "A@host:x", "A@:1"):
        with pytest.raises(InputError, match="names no archive"):
            Archive.of(wrong)
