"""Writing and reading diagnoses in the native HDF5 schema.

Root attributes: `at`, `representation`, `optimizer`, `noise`, `scale`, `n_data`, `n_parameters`, and as JSON
`summary` and `provenance`. `/image/{sound_speed,region}`; `/wtk/{eigenvalues,errors,energy,effective_steps}`,
`/wtk/{modes,frequency_bias}` and `/wtk/density/{nodes,weights}`, with the scalars of the spectrum as attributes of
`/wtk`; `/nsk/{modes,wavenumber,transfer,gain,gradient_raw,gradient_filtered}`, attribute `diffraction_limit` [rad/m];
`/nsk/rows/positions` [m] and `/nsk/rows/{moved,answer}`; `/resolution` [m]; `/uncertainty` [m/s];
`/decay/{predicted,measured}`, attributes `rate`, `error` and `drift`; `/drift/{updates,total,representation,waves}`;
`/frequencies` [Hz]. Maps carry `spacing` and `origin` [m].
"""

import json
from pathlib import Path

import h5py
import numpy as np
import torch

from usct.diagnosis import DataKernel, Decay, Diagnosis, ImageKernel, KernelDrift, KernelRow
from usct.errors import InputError
from usct.grid import Grid
from usct.io import hdf5
from usct.io.native_write import array_of, write_file

_SCALARS = (
    "trace",
    "trace_error",
    "effective_rank",
    "degrees_of_freedom",
    "decay_exponent",
    "constant_share",
)
_SPECTRUM = ("eigenvalues", "errors", "energy")
_ROWS = ("moved", "answer")
DRIFT = ("updates", "total", "representation", "waves")
_DENSITY = ("density/nodes", "density/weights")
TRANSFER = {
    "wavenumber": ("wavenumbers", "rad/m"),
    "transfer": ("representation", "1"),
    "gain": ("gain", "1"),
    "gradient_raw": ("raw", "1"),
    "gradient_filtered": ("filtered", "1"),
}
_MAPS = {
    "image/sound_speed": ("sound_speed", "m/s"),
    "image/region": ("region", ""),
    "resolution": ("resolution", "m"),
    "uncertainty": ("standard_deviation", "m/s"),
}


def write_kernels(diagnosis: Diagnosis, path: Path) -> None:
    """Write a diagnosis in one step; every array keeps its exact values and type.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """

    def fill(file: h5py.File) -> None:
        facts: dict[str, hdf5.Attribute] = {
            "at": diagnosis.at,
            "representation": diagnosis.representation,
            "optimizer": diagnosis.optimizer,
            "noise": diagnosis.noise,
            "scale": diagnosis.scale,
            "n_data": diagnosis.n_data,
            "n_parameters": diagnosis.n_parameters,
            "summary": json.dumps(list(diagnosis.summary)),
            "provenance": json.dumps(dict(diagnosis.provenance)),
        }
        hdf5.set_attributes(file, facts)
        hdf5.put(file, "frequencies", np.array(diagnosis.frequencies), {"units": "Hz"})
        _write_maps(file, diagnosis)
        _write_data_kernel(file.create_group("wtk"), diagnosis.data_kernel)
        _write_image_kernel(file.create_group("nsk"), diagnosis.image_kernel, diagnosis.grid)
        _write_rows(file["nsk"], diagnosis.rows, diagnosis.grid)
        if diagnosis.decay is not None:
            _write_decay(file.create_group("decay"), diagnosis.decay)
        if diagnosis.drift is not None:
            for name in DRIFT:
                values = array_of(getattr(diagnosis.drift, name))
                hdf5.put(file, f"drift/{name}", values, {"units": "1", "dims": "point"})

    write_file(path, "diagnosis", fill)


def _write_maps(file: h5py.File, diagnosis: Diagnosis) -> None:
    for name, (attribute, units) in _MAPS.items():
        values = getattr(diagnosis, attribute)
        if values is not None:
            hdf5.put(file, name, array_of(values), _about_map(diagnosis.grid, units))


def _about_map(grid: Grid, units: str) -> dict[str, hdf5.Attribute]:
    about: dict[str, hdf5.Attribute] = {
        "dims": "y, x",
        "spacing": grid.spacing,
        "origin": list(grid.origin),
    }
    return about | ({"units": units} if units else {})


def _write_data_kernel(group: h5py.Group, kernel: DataKernel) -> None:
    hdf5.set_attributes(group, {name: float(getattr(kernel, name)) for name in _SCALARS})
    for name in _SPECTRUM:
        hdf5.put(group, name, array_of(getattr(kernel, name)), {"units": "1", "dims": "mode"})
    hdf5.put(group, "effective_steps", array_of(kernel.effective_steps), {"units": "1", "dims": "mode"})
    hdf5.put(group, "frequency_bias", array_of(kernel.frequency_bias), {"units": "1", "dims": "freq"})
    about: dict[str, hdf5.Attribute] = {"units": "1", "dims": "mode, freq, tx, rx"}
    hdf5.put(group, "modes", array_of(kernel.modes), about)
    for name, values in zip(_DENSITY, (kernel.nodes, kernel.weights), strict=True):
        hdf5.put(group, name, array_of(values), {"units": "1", "dims": "node"})


def _write_image_kernel(group: h5py.Group, kernel: ImageKernel, grid: Grid) -> None:
    group.attrs["diffraction_limit"] = float(kernel.diffraction_limit)
    for name, (attribute, units) in TRANSFER.items():
        hdf5.put(group, name, array_of(getattr(kernel, attribute)), {"units": units, "dims": "band"})
    hdf5.put(group, "modes", array_of(kernel.modes), _about_map(grid, "1") | {"dims": "mode, y, x"})


def _write_rows(group: h5py.Group, rows: tuple[KernelRow, ...], grid: Grid) -> None:
    if not rows:
        return
    places = np.array([row.position for row in rows])
    hdf5.put(group, "rows/positions", places, {"units": "m", "dims": "place, (y, x)"})
    about = _about_map(grid, "1") | {"dims": "place, y, x"}
    for name in _ROWS:
        hdf5.put(group, f"rows/{name}", array_of(torch.stack([getattr(row, name) for row in rows])), about)


def _read_rows(group: h5py.Group, path: Path) -> tuple[KernelRow, ...]:
    if "rows" not in group:  # files of earlier versions have none
        return ()
    places, moved, answer = (_tensor(group, f"rows/{name}", path) for name in ("positions", *_ROWS))
    positions = [(float(y), float(x)) for y, x in places.tolist()]
    return tuple(KernelRow(*of_one) for of_one in zip(positions, moved, answer, strict=True))


def _write_decay(group: h5py.Group, decay: Decay) -> None:
    hdf5.set_attributes(group, {name: float(getattr(decay, name)) for name in ("rate", "error", "drift")})
    for name in ("predicted", "measured"):
        hdf5.put(group, name, array_of(getattr(decay, name)), {"units": "1", "dims": "step, mode"})


def read_kernels(file: h5py.File, path: Path) -> Diagnosis:
    """Read an open native file of the kind `diagnosis`.

    Args:
        file: From `hdf5.opened`.
        path: Its name, for the errors' sentences.

    Raises:
        InputError: If a dataset is missing or damaged.
        ValueError: If arrays contradict each other.
        KeyError: If an attribute is missing.
    """
    speed = _tensor(file, "image/sound_speed", path)
    about = file["image/sound_speed"].attrs
    resolution, deviation = (
        _tensor(file, name, path) if name in file else None for name in ("resolution", "uncertainty")
    )
    return Diagnosis(
        grid=Grid(tuple(speed.shape), float(about["spacing"]), tuple(about["origin"])),
        sound_speed=speed,
        region=_tensor(file, "image/region", path),
        resolution=resolution,
        standard_deviation=deviation,
        at=hdf5.text(file, "at", path),
        frequencies=tuple(hdf5.values(file, "frequencies", path).tolist()),
        representation=hdf5.text(file, "representation", path),
        optimizer=hdf5.text(file, "optimizer", path),
        noise=float(file.attrs["noise"]),
        scale=float(file.attrs["scale"]),
        n_data=int(file.attrs["n_data"]),
        n_parameters=int(file.attrs["n_parameters"]),
        data_kernel=_read_data_kernel(_group(file, "wtk", path), path),
        image_kernel=_read_image_kernel(_group(file, "nsk", path), path),
        rows=_read_rows(_group(file, "nsk", path), path),
        decay=_read_decay(_group(file, "decay", path), path) if "decay" in file else None,
        summary=tuple(str(sentence) for sentence in json.loads(hdf5.text(file, "summary", path))),
        provenance=dict(json.loads(hdf5.text(file, "provenance", path, "{}"))),
        drift=KernelDrift(*(_tensor(file, f"drift/{n}", path) for n in DRIFT)) if "drift" in file else None,
    )


def _read_data_kernel(group: h5py.Group, path: Path) -> DataKernel:
    tensors = [_tensor(group, name, path) for name in ("eigenvalues", "errors", "modes", *_DENSITY)]
    eigenvalues, errors, modes, nodes, weights = tensors
    trace, trace_error, effective_rank, degrees_of_freedom, exponent, constant_share = (
        float(group.attrs[name]) for name in _SCALARS
    )
    return DataKernel(
        eigenvalues,
        errors,
        modes,
        nodes,
        weights,
        trace,
        trace_error,
        effective_rank,
        degrees_of_freedom,
        exponent,
        constant_share,
        _tensor(group, "energy", path),
        _tensor(group, "frequency_bias", path),
    )


def _read_image_kernel(group: h5py.Group, path: Path) -> ImageKernel:
    return ImageKernel(
        modes=_tensor(group, "modes", path),
        diffraction_limit=float(group.attrs["diffraction_limit"]),
        **{name: _tensor(group, where, path) for where, (name, _) in TRANSFER.items()},
    )


def _read_decay(group: h5py.Group, path: Path) -> Decay:
    rate, error, drift = (float(group.attrs[name]) for name in ("rate", "error", "drift"))
    return Decay(rate, _tensor(group, "predicted", path), _tensor(group, "measured", path), error, drift)


def _group(file: h5py.File, name: str, path: Path) -> h5py.Group:
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        raise InputError(f"{path}: /{name} is missing; diagnose the result again.")
    return group


def _tensor(group: h5py.Group, name: str, path: Path) -> torch.Tensor:
    return torch.from_numpy(hdf5.values(group, name, path))
