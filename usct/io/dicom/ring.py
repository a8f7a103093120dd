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
from usct.grid import Grid
from usct.io.dicom.opening import guarded, is_dicom, open_file
from usct.io.dicom.study import Study, blank, save
from usct.io.native_write import array_of
from usct.medium import Medium

GROUP = 0x0099
CREATOR = "USCT CHANNEL DATA 1"
SCHEMA = "usct-channel-data 1.0"
LONGEST_ELEMENT = 0xFFFFFFFE
"""Bytes of a DICOM element: its length is an even number of 32 bits, the largest of which means another thing."""
LARGEST_PART = 2**32 - 2**20
"""Bytes of data in one instance, with room for padding."""
_VERSION_UID = "2.25.214159196315432170716930915347219806741"
_MAPS = ("sound_speed", "attenuation", "density")
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
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
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
    block.add_new(0x05, "OB", _even(values.tobytes()))
    block.add_new(0x06, "OD", array_of(scan.array.positions).astype("<f8").tobytes())
    block.add_new(0x07, "OL", array_of(scan.array.transmits).astype("<u4").tobytes())
    block.add_new(0x08, "OL", array_of(scan.array.receives).astype("<u4").tobytes())
    if isinstance(data, Traces):
        block.add_new(0x09, "FD", [data.start_time, data.sampling_frequency])
        usable = array_of(data.valid)
    else:
        block.add_new(0x09, "FD", data.damping)
        block.add_new(0x0B, "OD", array_of(data.frequencies).astype("<f8").tobytes())
        usable = array_of(data.weights).astype("<f8")
    block.add_new(0x0A, "OB", _even(usable.tobytes()))
    for name, element in _MEDIA:
        medium = getattr(scan, name)
        if medium is not None:
            packed, maps = _packed(medium)
            facts[name] = packed
            block.add_new(element, "OB", _even(maps))
    facts["dim"] = int(scan.array.positions.shape[1])
    block.add_new(0x0C, "UT", json.dumps(facts))


def _even(content: bytes) -> bytes:
    return content + b"\0" * (len(content) % 2)


def _packed(medium: Medium) -> tuple[dict[str, Any], bytes]:
    """The grid and types of a medium's maps, and their bytes one after the other."""
    maps = {name: array_of(getattr(medium, name)) for name in _MAPS if getattr(medium, name) is not None}
    grid = medium.grid
    facts: dict[str, Any] = {
        "shape": grid.shape,
        "spacing": grid.spacing,
        "origin": grid.origin,
        "attenuation_power": medium.attenuation_power,
        "reference_frequency": medium.reference_frequency,
        "maps": {name: values.dtype.newbyteorder("<").str for name, values in maps.items()},
    }
    return facts, b"".join(values.astype(facts["maps"][name]).tobytes() for name, values in maps.items())


def _unpacked(facts: dict[str, Any], content: bytes) -> Medium:
    grid = Grid(tuple(facts["shape"]), facts["spacing"], tuple(facts["origin"]))
    maps, at, size = {}, 0, int(np.prod(grid.shape))
    for name in _MAPS:
        if name in facts["maps"]:
            values = np.frombuffer(content, np.dtype(facts["maps"][name]), size, at)
            maps[name] = torch.from_numpy(values.reshape(grid.shape).copy())
            at += values.nbytes
    return Medium(
        grid,
        maps["sound_speed"],
        maps.get("attenuation"),
        maps.get("density"),
        facts["attenuation_power"],
        facts["reference_frequency"],
    )


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
    values = np.concatenate([p.array(0x05, head[0x03], (p.count, *shape[1:])) for p in parts])
    positions = np.frombuffer(head[0x06], "<f8").reshape(-1, facts["dim"])
    transmits, receives = (np.frombuffer(head[element], "<u4").astype(np.int64) for element in (0x07, 0x08))
    data: Traces | Spectra
    if (GROUP, head.dataset.private_block(GROUP, CREATOR).get_tag(0x0B).element) in head.dataset:
        weights = head.array(0x0A, "<f8", shape).copy()
        frequencies = np.frombuffer(head[0x0B], "<f8").copy()
        data = Spectra(
            torch.from_numpy(values), torch.from_numpy(frequencies), torch.from_numpy(weights), head[0x09]
        )
    else:
        start, rate = (float(n) for n in head[0x09])
        data = Traces(
            torch.from_numpy(values), start, rate, torch.from_numpy(head.array(0x0A, "?", shape[:2]).copy())
        )
    media = {
        name: _unpacked(facts[name], head[element]) if name in facts else None for name, element in _MEDIA
    }
    return Acquisition(
        TransducerArray(
            torch.from_numpy(positions.copy()), torch.from_numpy(transmits), torch.from_numpy(receives)
        ),
        data,
        facts["water_sound_speed"],
        media["truth"],
        media["start"],
        facts["title"],
        facts["metadata"],
        tuple(facts["notes"]),
    )
