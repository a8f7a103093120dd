"""Recorded rings as DICOM Raw Data Storage, with a private block of which this is the definition.

DICOM knows no object for ultrasound channel data, so they travel as Raw Data (PS3.3 A.37). The block lies in group
0099 under the creator `USCT CHANNEL DATA 1`; should an element ever change its meaning the creator's number grows.
Numbers are little-endian, arrays in C order, and padded to an even number of bytes.

==== == ====================================================================================
xx01 LO schema, `usct-channel-data 1.0`
xx02 UL shape of the whole data: (tx, rx, time), or (freq, tx, rx) for spectra
xx03 LO numpy type of the data, such as `<f4`
xx04 UL first index on axis 0 that this instance holds, and how many
xx05 OB the data of these indices
xx06 OD element positions (element, dim), order (y, x) or (z, y, x) [m]
xx07 OL element of each transmit
xx08 OL element of each receive
xx09 FD start time [s] and sampling frequency [Hz]; for spectra the damping [1/s] alone
xx0A OB usable channels (tx, rx), one byte each; for spectra the weights (freq, tx, rx), doubles
xx0B OD frequencies [Hz]; spectra only
xx0C UT JSON: water_sound_speed [m/s], title, metadata, notes, and of media their grids
xx0D OB maps of the true medium, one after the other as the JSON lists them
xx0E OB maps of the start medium
xx0F OB what was recorded in water alone, as xx05; of the type that the JSON names `water_type`
xx10 OB which of it can be used, as xx0A
==== == ====================================================================================

Data beyond the limit of a DICOM element are split over several instances of one series.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydicom import uid
from pydicom.dataset import Dataset

from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.errors import InputError
from usct.io.dicom.opening import guarded, is_dicom, open_file
from usct.io.dicom.packing import even, packed, unpacked
from usct.io.dicom.study import Study, blank, save
from usct.io.native_write import array_of

GROUP = 0x0099
CREATOR = "USCT CHANNEL DATA 1"
SCHEMA = "usct-channel-data 1.0"
LONGEST_ELEMENT = 0xFFFFFFFE
"""Bytes of a DICOM element: its length is an even number of 32 bits, the largest of which means another thing."""
LARGEST_PART = 2**32 - 2**20
"""Bytes of data in one instance, with room for padding."""
_VERSION_UID = "2.25.214159196315432170716930915347219806741"
_MEDIA = (("truth", 0x0D), ("start", 0x0E))


def write_ring(
    acquisition: Acquisition, path: Path, study: Study | None = None, largest: int = LARGEST_PART
) -> tuple[Path, ...]:
    """Write a scan as one or more Raw Data objects, exactly.

    Args:
        acquisition: The scan.
        path: File to write; where the data must be split, further files get `-2`, `-3` and so on.
        study: What the objects share with others, and whose they are; None for a study of their own.
        largest: Bytes of data in one instance.

    Returns:
        The files.

    Raises:
        InputError: If one transmit alone is too large, or a file cannot be written.
    """
    values = array_of(acquisition.data.values)
    values = _little_endian(values)
    if values[0].nbytes > largest:
        raise InputError(
            f"{path}: one transmit takes {values[0].nbytes / 1e9:.3g} GB and a DICOM element holds "
            f"{largest / 1e9:.3g}; keep fewer samples."
        )
    study, series, written = study or Study(), uid.generate_uid(), []
    for number, (first, count) in enumerate(parts_of(len(values), values[0].nbytes, largest), 1):
        part = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        dataset = blank(uid.RawDataStorage, study, series, number)
        dataset.SeriesDescription = "Ring channel data"
        dataset.AcquisitionContextSequence = []
        dataset.CreatorVersionUID = _VERSION_UID
        _fill(dataset, acquisition, values[first : first + count], values.shape, first)
        if acquisition.water is not None:
            _add_water(dataset, acquisition.water, slice(first, first + count))
        save(dataset, part)
        written.append(part)
    return tuple(written)


def parts_of(n_blocks: int, block: int, largest: int = LARGEST_PART) -> list[tuple[int, int]]:
    """Share blocks of data out to instances, as many to each as fit.

    Args:
        n_blocks: Transmits, or frequencies of spectra.
        block: Bytes of each.
        largest: Bytes of data in one instance; at least one block.

    Returns:
        First block and number of blocks of every instance.
    """
    step = largest // block
    return [(first, min(step, n_blocks - first)) for first in range(0, n_blocks, step)]


def _fill(
    dataset: Dataset, scan: Acquisition, values: np.ndarray, shape: tuple[int, ...], first: int
) -> None:
    """Write the private block of one instance."""
    block = dataset.private_block(GROUP, CREATOR, create=True)
    data = scan.data
    facts: dict[str, Any] = {
        "water_sound_speed": scan.water_sound_speed,
        "title": scan.title,
        "metadata": dict(scan.metadata),
        "notes": list(scan.notes),
    }
    block.add_new(0x01, "LO", SCHEMA)
    block.add_new(0x02, "UL", list(shape))
    block.add_new(0x03, "LO", values.dtype.str)
    block.add_new(0x04, "UL", [first, len(values)])
    block.add_new(0x05, "OB", even(values.tobytes()))
    block.add_new(0x06, "OD", array_of(scan.array.positions).astype("<f8").tobytes())
    block.add_new(0x07, "OL", array_of(scan.array.transmits).astype("<u4").tobytes())
    block.add_new(0x08, "OL", array_of(scan.array.receives).astype("<u4").tobytes())
    if isinstance(data, Traces):
        block.add_new(0x09, "FD", [data.start_time, data.sampling_frequency])
    else:
        block.add_new(0x09, "FD", data.damping)
        block.add_new(0x0B, "OD", array_of(data.frequencies).astype("<f8").tobytes())
    block.add_new(0x0A, "OB", even(_usable(data)))
    for name, element in _MEDIA:
        medium = getattr(scan, name)
        if medium is not None:
            facts[name], maps = packed(medium)
            block.add_new(element, "OB", even(maps))
    facts["dim"] = int(scan.array.positions.shape[1])
    if scan.water is not None:
        facts["water_type"] = _little_endian(array_of(scan.water.values[:1])).dtype.str
    block.add_new(0x0C, "UT", json.dumps(facts))


def _add_water(dataset: Dataset, water: Traces | Spectra, held: slice) -> None:
    """Write what an instance holds of the water shot."""
    block = dataset.private_block(GROUP, CREATOR)
    block.add_new(0x0F, "OB", even(_little_endian(array_of(water.values[held])).tobytes()))
    block.add_new(0x10, "OB", even(_usable(water)))


def _little_endian(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))


def _usable(data: Traces | Spectra) -> bytes:
    kept = array_of(data.valid) if isinstance(data, Traces) else array_of(data.weights).astype("<f8")
    return kept.tobytes()


@dataclass(frozen=True)
class _Part:
    """One instance: its private block, and the indices of axis 0 that it holds."""

    dataset: Dataset
    first: int
    count: int

    def __getitem__(self, element: int) -> Any:
        """Value of an element of the block."""
        return self.dataset.private_block(GROUP, CREATOR)[element].value

    def array(self, element: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of an element of bytes."""
        return np.frombuffer(self[element], np.dtype(kind), int(np.prod(shape))).reshape(shape)


def holds_ring(dataset: Dataset) -> bool:
    """Whether an object is Raw Data with the private block."""
    if dataset.get("SOPClassUID") != uid.RawDataStorage:
        return False
    return CREATOR in dataset.private_creators(GROUP)


def read_ring(path: Path) -> Acquisition:
    """Read what `write_ring` wrote, to the bit; of a split scan all parts in the same folder are read.

    Args:
        path: Any of the files.

    Raises:
        InputError: If it holds no channel data, a part is missing, or the file is damaged.
    """
    with guarded(path):
        first = open_file(path)
        if not holds_ring(first):
            raise InputError(
                f"{path}: this DICOM object holds no channel data ({uid.UID(first.get('SOPClassUID', '')).name}); "
                "see pictures with 'usct view', or give a scan."
            )
        parts = [_part(first, path)]
        shape = tuple(int(n) for n in parts[0][0x02])
        if parts[0].count < shape[0]:
            parts += [_part(other, path) for other in _siblings(first, path)]
        parts.sort(key=lambda part: part.first)
        expected = 0
        for part in parts:
            if part.first != expected:
                break
            expected += part.count
        if expected != shape[0]:
            raise InputError(
                f"{path}: {sum(p.count for p in parts)} of {shape[0]} blocks of the scan are here; "
                "put all files of its series in one folder."
            )
        return _acquisition(parts, shape)


def _part(dataset: Dataset, path: Path) -> _Part:
    block = dataset.private_block(GROUP, CREATOR)
    if block[0x01].value != SCHEMA:
        raise InputError(f"{path}: its channel data follow '{block[0x01].value}', not {SCHEMA}; update usct.")
    first, count = (int(n) for n in block[0x04].value)
    return _Part(dataset, first, count)


def _siblings(first: Dataset, path: Path) -> list[Dataset]:
    """Other instances of the same series in the folder."""
    found = {first.SOPInstanceUID: first}
    for item in sorted(path.parent.iterdir()):
        if item.is_file() and is_dicom(item):
            other = open_file(item)
            if holds_ring(other) and other.SeriesInstanceUID == first.SeriesInstanceUID:
                found.setdefault(other.SOPInstanceUID, other)
    del found[first.SOPInstanceUID]
    return list(found.values())


def _acquisition(parts: list[_Part], shape: tuple[int, ...]) -> Acquisition:
    head = parts[0]
    facts = json.loads(head[0x0C])
    positions = np.frombuffer(head[0x06], "<f8").reshape(-1, facts["dim"])
    transmits, receives = (np.frombuffer(head[element], "<u4").astype(np.int64) for element in (0x07, 0x08))
    media = {
        name: unpacked(facts[name], head[element]) if name in facts else None for name, element in _MEDIA
    }
    return Acquisition(
        TransducerArray(
            torch.from_numpy(positions.copy()), torch.from_numpy(transmits), torch.from_numpy(receives)
        ),
        _recorded(parts, shape, head[0x03], 0x05, 0x0A),
        facts["water_sound_speed"],
        media["truth"],
        media["start"],
        facts["title"],
        facts["metadata"],
        tuple(facts["notes"]),
        _recorded(parts, shape, facts["water_type"], 0x0F, 0x10) if "water_type" in facts else None,
    )


def _recorded(
    parts: list[_Part], shape: tuple[int, ...], kind: str, samples: int, usable: int
) -> Traces | Spectra:
    """A recording whose samples of a type, and which of them can be used, lie in two elements."""
    head = parts[0]
    values = torch.from_numpy(np.concatenate([p.array(samples, kind, (p.count, *shape[1:])) for p in parts]))
    if (GROUP, head.dataset.private_block(GROUP, CREATOR).get_tag(0x0B).element) in head.dataset:
        weights = torch.from_numpy(head.array(usable, "<f8", shape).copy())
        frequencies = torch.from_numpy(np.frombuffer(head[0x0B], "<f8").copy())
        return Spectra(values, frequencies, weights, head[0x09])
    start, rate = (float(n) for n in head[0x09])
    return Traces(values, start, rate, torch.from_numpy(head.array(usable, "?", shape[:2]).copy()))
