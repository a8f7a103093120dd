"""Images of other machines: what they show, where it lies, and what is refused."""

import importlib.util
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import examples
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    EnhancedUSVolumeStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

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


def test_lossy_jpeg_of_twelve_bits_is_said_to_be_so_with_a_remedy() -> None:
    if importlib.util.find_spec("libjpeg") is not None:
        pytest.skip("pylibjpeg-libjpeg is installed, which unpacks it")
    path = Path(get_testdata_file("JPGExtended.dcm"))
    with pytest.raises(InputError, match=r"lossy JPEG of 12 bits.*unpack the file with DCMTK \('dcmdjpeg"):
        read_dicom(path)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path, [0.0])
    dataset = pydicom.dcmread(tmp_path / "0.dcm")
    dataset.Rows = dataset.Columns = 65535
    dataset.save_as(tmp_path / "0.dcm")
    with pytest.raises(InputError, match="claims 8.59 GB"):
        read_dicom(tmp_path)


def place(position: list[float], turn: list[float] | None = None) -> dict[str, object]:
    return {
        "PixelSpacing": [1.0, 1.0],
        "ImagePositionPatient": position,
        "ImageOrientationPatient": turn or [1, 0, 0, 0, 1, 0],
        "SeriesInstanceUID": "1.2.3",
        "FrameOfReferenceUID": "1.2.9",
        "Modality": "MR",
    }


def test_images_across_each_other_are_volumes_of_their_own(tmp_path: Path) -> None:
    for number, turn in enumerate(([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1])):
        write(tmp_path / f"{number}", MRImageStorage, np.full((3, 4), number), **place([0, 0, 0], turn))
    layers = read_dicom(tmp_path)
    assert [layer.name for layer in layers] == ["MR 1", "MR 2", "MR 3"]
    assert [layer.values[0, 0] for layer in layers] == [0, 1, 2]
    assert layers[2].space is not None
    assert layers[2].space.axes[2] == (-1, 0, 0)


def test_echoes_at_the_same_places_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    for number in (4, 1, 3, 2):
        depth = 2.0 * (number % 2)
        values = np.full((3, 4), number)
        write(tmp_path / f"{number}", MRImageStorage, values, InstanceNumber=number, **place([0, 0, depth]))
    first, second = read_dicom(tmp_path)
    assert first.values[:, 0, 0].tolist() == [2, 1]
    assert second.values[:, 0, 0].tolist() == [4, 3]


def test_slices_of_a_tilted_gantry_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        write(
            tmp_path / f"{number}", MRImageStorage, np.ones((3, 4)), **place([0, 0.7 * number, 2.0 * number])
        )
    with pytest.raises(InputError, match=r"shifted against each other by up to 1\.4 mm"):
        read_dicom(tmp_path)


def test_what_is_wrong_in_a_folder_leaves_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "whole", MRImageStorage, np.ones((3, 4)), **place([0, 0, 0]))
    (tmp_path / "gaps").mkdir()
    write_ct(tmp_path / "gaps", [0.0, 2.0, 4.0, 8.0])
    for number in range(4):
        dataset = pydicom.dcmread(tmp_path / "gaps" / f"{number}.dcm")
        dataset.SeriesInstanceUID = "1.2.4"
        dataset.save_as(tmp_path / "gaps" / f"{number}.dcm")
    whole = (tmp_path / "whole").read_bytes().replace(b"1.2.3", b"1.2.5")
    (tmp_path / "cut").write_bytes(whole[:-5])
    left_out: list[str] = []
    (layer,) = read_dicom(tmp_path, left_out)
    assert layer.values.shape == (3, 4)
    assert len(left_out) == 2
    assert any("gaps: slices 3 and 4 lie 4 mm apart" in sentence for sentence in left_out)
    with pytest.raises(InputError):
        read_dicom(tmp_path)


def test_a_folder_of_several_machines() -> None:
    folder = Path(get_testdata_file("DICOMDIR")).parent
    left_out: list[str] = []
    found = {layer.name: layer for layer in read_dicom(folder, left_out)}
    assert found["SmartScore - Gated 0.5 sec"].values.shape == (5, 16, 16)
    assert {"Scout 1", "Scout 2", "T/S/C RF FAST PILOT 3", "Cervical LAT (no scale)"} <= set(found)
    assert len(left_out) == 2


def test_an_enhanced_ultrasound_volume_is_sorted(tmp_path: Path) -> None:
    frames = []
    for depth in (3.0, 1.0, 2.0):
        frame, position = Dataset(), Dataset()
        position.ImagePositionVolume = [0, 5, depth]
        frame.PlanePositionVolumeSequence = [position]
        frames.append(frame)
    shared, measures, turn = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.2, 0.4], 1.0
    turn.ImageOrientationVolume = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationVolumeSequence = [measures], [turn]
    values = np.arange(3)[:, None, None] * np.ones((3, 4, 5))
    path = write(
        tmp_path / "us",
        EnhancedUSVolumeStorage,
        values,
        Modality="US",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )
    (layer,) = read_dicom(path)
    assert layer.values[:, 0, 0].tolist() == [1, 2, 0]
    assert layer.spacing == pytest.approx((1e-3, 0.2e-3, 0.4e-3))
    assert layer.origin == pytest.approx((1e-3, 5e-3, 0.0))


def test_a_label_map_keeps_its_numbers_and_names(tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom", reason="highdicom (extra dicom) is not installed")
    source = pydicom.dcmread(examples.get_path("ct"))
    labels = np.zeros((1, *source.pixel_array.shape), np.uint8)
    labels[0, 20:40, 30:50], labels[0, 60:70, 60:80] = 1, 2
    code = Code("85756007", "SCT", "Body tissue structure")
    made = hd.seg.Segmentation(
        [source],
        labels,
        "LABELMAP",
        [hd.seg.SegmentDescription(n, name, code, code, "MANUAL") for n, name in ((1, "fat"), (2, "gland"))],
        generate_uid(),
        1,
        generate_uid(),
        1,
        "maker",
        "model",
        "1",
        "0",
    )
    made.save_as(tmp_path / "seg.dcm")
    (layer,) = read_dicom(tmp_path / "seg.dcm")
    assert np.array_equal(layer.values, labels[0])
    assert [segment for segment in layer.segments if segment[0]] == [(1, "fat"), (2, "gland")]
    (image,) = read_dicom(Path(examples.get_path("ct")))
    assert layer.spacing == pytest.approx(image.spacing)
    assert layer.origin == pytest.approx(image.origin)
    assert layer.space == image.space
