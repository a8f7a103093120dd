"""Opening DICOM files from anywhere, so that a broken one costs a sentence and never more."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGExtended12Bit

from usct.errors import InputError
from usct.io import hdf5

_MOST_FILES = 20_000
_ERRORS = (
    *hdf5.READ_ERRORS,
    InvalidDicomError,
    BytesLengthException,
    struct.error,
    zlib.error,
    RecursionError,
)


def is_dicom(path: Path) -> bool:
    """Whether a file, or the first of the files right in a folder that says so, starts as DICOM does."""
    try:
        if path.is_dir():
            return any(is_dicom(item) for item in sorted(path.iterdir())[:100] if item.is_file())
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn all that damaged bytes make pydicom raise into one sentence, and keep its warnings back.

    Raises:
        InputError: If the block fails.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except _ERRORS as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: the DICOM file is damaged or incomplete ({reason}); copy or export it again."
        ) from error


def open_file(path: Path, defer: int | None = 4096) -> Dataset:
    """Read a DICOM file; values above `defer` bytes stay in the file until they are asked for.

    Raises:
        InputError: If the file is missing, no DICOM, damaged, or deflated as a whole.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path.")
    if not is_dicom(path):
        raise InputError(f"{path}: this is no DICOM file; give one, or a folder of them.")
    with guarded(path):
        # Deflated files can unpack to any size before a single tag is seen.
        syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        if syntax == DeflatedExplicitVRLittleEndian:
            raise InputError(f"{path}: the file is deflated as a whole; export it uncompressed.")
        return pydicom.dcmread(path, defer_size=defer)


def open_all(path: Path, refused: list[str] | None = None) -> list[tuple[Path, Dataset]]:
    """Read a DICOM file, or all of those in a folder and its folders; other files are left alone.

    Args:
        path: The file or folder.
        refused: Where a sentence goes for each damaged file of a folder; None refuses the folder.

    Raises:
        InputError: If there is none, or one of them is damaged.
    """
    if not path.is_dir():
        return [(path, open_file(path))]
    files = sorted(item for item in path.rglob("*") if item.is_file() and item.name != "DICOMDIR")
    if len(files) > _MOST_FILES:
        raise InputError(f"{path}: the folder holds {len(files)} files; give the folder of one study.")
    found = []
    for item in (item for item in files if is_dicom(item)):
        try:
            found.append((item, open_file(item)))
        except InputError as error:
            if refused is None:
                raise
            refused.append(str(error))
    if not found and not refused:
        raise InputError(f"{path}: no DICOM file is in this folder; check the path.")
    return found


def _refuse_unknown_packing(dataset: Dataset, path: Path) -> None:
    """Say so where the pixels are packed in a way that nothing installed unpacks, which is no damage."""
    syntax = dataset.file_meta.TransferSyntaxUID if "TransferSyntaxUID" in dataset.file_meta else None
    if syntax is None or not syntax.is_compressed:
        return
    try:
        unpackers = pydicom.pixels.get_decoder(syntax).available_plugins
    except NotImplementedError:
        unpackers = ()
    if syntax == JPEGExtended12Bit and dataset.get("BitsStored", 8) > 8 and "pylibjpeg" not in unpackers:
        # gdcm and pillow are there and refuse; the one library that does not is under the GPL.
        raise InputError(
            f"{path}: the pixels are lossy JPEG of {dataset.BitsStored} bits, which nothing here unpacks; unpack the "
            "file with DCMTK ('dcmdjpeg in.dcm out.dcm') or export it uncompressed, or run pip install pylibjpeg "
            "pylibjpeg-libjpeg (GPL)."
        )
    if not unpackers:
        raise InputError(
            f"{path}: the pixels are packed as {syntax.name}, which nothing here unpacks; run pip install "
            "'usct[dicom]', or export the image uncompressed."
        )


def pixels(dataset: Dataset, path: Path) -> np.ndarray:
    """Pixel values as stored, colours as RGB; shape (frame, y, x) or (frame, y, x, 3), frames always present.

    Raises:
        InputError: If the pixels are missing, damaged, packed in a way that nothing here can unpack, or not
            credible in size.
    """
    with guarded(path):
        words = ("FloatPixelData", "DoubleFloatPixelData", "PixelData")
        name = next((word for word in words if word in dataset), None)
        if name is None or "Rows" not in dataset or "Columns" not in dataset:
            raise InputError(f"{path}: the DICOM object holds no pixels; give an image, a map or labels.")
        n_frames = int(dataset.get("NumberOfFrames") or 1)
        bits = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(
            name, int(dataset.get("BitsAllocated", 8))
        )
        samples = int(dataset.get("SamplesPerPixel", 1))
        claim = int(dataset.Rows) * int(dataset.Columns) * n_frames * samples * bits // 8
        hdf5.refuse_claim(path, name, claim, path.stat().st_size)
        _refuse_unknown_packing(dataset, path)
        values = np.asarray(dataset.pixel_array)
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            values = pydicom.pixels.apply_color_lut(values, dataset)
            values = (values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values
            samples = 3
        return values.reshape(n_frames, dataset.Rows, dataset.Columns, *(() if samples == 1 else (samples,)))
