"""Images of other machines: what they show, where it lies, and what is refused."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import examples
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

from usct.errors import InputError
from usct.io.dicom import is_dicom, read_dicom


def write(path: Path, kind: str, values: np.ndarray, **tags: object) -> Path:
    """A plain grey image of signed 16-bit values."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = kind
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = values.astype("<i2").tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_ct(folder: Path, depths: list[float], shape: tuple[int, int] = (3, 4)) -> None:
    for number, depth in enumerate(depths):
        write(
            folder / f"{number}.dcm",
            CTImageStorage,
            np.full(shape, 100 + depth),
            Modality="CT",
            SeriesInstanceUID="1.2.3",
            PixelSpacing=[0.5, 0.25],
            ImagePositionPatient=[10, 20, depth],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            RescaleSlope=2,
            RescaleIntercept=-1024,
        )


def test_ct_is_sorted_in_space_and_in_hounsfield_units(tmp_path: Path) -> None:
    write_ct(tmp_path, [6.0, 2.0, 4.0])
    (tmp_path / "notes.txt").write_text("not an image")
    (layer,) = read_dicom(tmp_path)
    assert layer.values.shape == (3, 3, 4)
    assert layer.values[:, 0, 0].tolist() == [-820.0, -816.0, -812.0]
    assert layer.spacing == pytest.approx((2e-3, 0.5e-3, 0.25e-3))
    assert layer.origin == pytest.approx((2e-3, 20e-3, 10e-3))
    assert (layer.kind, layer.unit) == ("image", "[hnsf'U]")


def test_a_missing_slice_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path, [0.0, 2.0, 4.0, 8.0])
    with pytest.raises(InputError, match="slices 3 and 4 lie 4 mm apart and the others 2 mm"):
        read_dicom(tmp_path)


def test_two_images_at_one_place_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path, [0.0, 2.0, 2.0])
    with pytest.raises(InputError, match="3 images lie at 2 places"):
        read_dicom(tmp_path)


def test_an_ultrasound_region_is_cut_and_scaled(tmp_path: Path) -> None:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 1, 1
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 1, 2
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 4, 6
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.01
    region.ReferencePixelX0, region.ReferencePixelY0 = 2, 0
    movie = np.arange(2 * 8 * 6).reshape(2, 8, 6)
    path = write(
        tmp_path / "us", UltrasoundMultiFrameImageStorage, movie, SequenceOfUltrasoundRegions=[region]
    )
    (layer,) = read_dicom(path)
    assert np.array_equal(layer.values, movie[:, 2:7, 1:5])
    assert layer.spacing == pytest.approx((1e-3, 1e-4, 2e-4))
    assert layer.origin == pytest.approx((0.0, 0.0, -4e-4))


@pytest.mark.parametrize(
    ("name", "shape", "rgb"),
    [("rgb_color", (240, 320, 3), True), ("palette_color", (290, 680, 3), True), ("mr", (64, 64), False)],
)
def test_images_of_real_machines(name: str, shape: tuple[int, ...], rgb: bool) -> None:
    (layer,) = read_dicom(Path(examples.get_path(name)))
    assert layer.values.shape == shape
    assert layer.rgb is rgb
    assert layer.values.std() > 0


def test_foreign_and_broken_files_cost_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("hello")
    assert not is_dicom(text)
    whole = Path(examples.get_path("ct")).read_bytes()
    broken = tmp_path / "cut.dcm"
    for path in (text, tmp_path / "none", tmp_path, Path(examples.get_path("waveform"))):
        with pytest.raises(InputError):
            read_dicom(path)
    for length in (133, 200, 700, 2000, len(whole) // 2):
        broken.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.dcm"):
            read_dicom(broken)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path, [0.0])
    dataset = pydicom.dcmread(tmp_path / "0.dcm")
    dataset.Rows = dataset.Columns = 65535
    dataset.save_as(tmp_path / "0.dcm")
    with pytest.raises(InputError, match="claims 8.59 GB"):
        read_dicom(tmp_path)
