"""Maps and labels for other programs; the ending of the file's name chooses the format.

NIfTI: left-to-right and front-to-back axes turned to RAS+, millimetres. OME-Zarr 0.5: one level, with units. CSV: one
row for each node. PNG: eight-bit grey. DICOM: Parametric Map or Segmentation.
"""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from usct.errors import InputError
from usct.grid import Grid
from usct.io.atomic import replacing, write_bytes
from usct.io.dicom.study import Study
from usct.io.dicom.writing import write_parametric_map
from usct.io.quantities import QUANTITIES, Quantity

_MM = 1e3


def write_map(
    path: Path,
    values: np.ndarray,
    grid: Grid,
    quantity: str = "sound_speed",
    window: tuple[float, float] | None = None,
) -> None:
    """Write a map.

    Args:
        path: File to write or replace; it ends with one of `ENDINGS`.
        values: Shape grid.shape, order (y, x) or (z, y, x), in SI units.
        grid: Where the values are.
        quantity: One of `QUANTITIES`, which names the unit in which it is written.
        window: Values shown black and white in a PNG, in the unit written; None takes the extremes.

    Raises:
        InputError: If the ending is not known, a library is missing, or the file cannot be written.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, got '{quantity}'")
    if values.shape != grid.shape:
        raise ValueError(f"values have shape {values.shape}, the grid {grid.shape}")
    meaning = QUANTITIES[quantity]
    ending = ending_of(path)
    if ending == ".dcm":
        write_parametric_map(values, grid, meaning, path, Study())
        return
    shown = (meaning.factor * np.asarray(values, dtype=np.float64)).astype(np.float32)
    if ending == ".png":
        write_bytes(path, _png(shown, path, window))
    else:
        _WRITERS[ending](path, shown, grid, meaning)


def ending_of(path: Path) -> str:
    """Which of `ENDINGS` a name has.

    Raises:
        InputError: If it has another.
    """
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending):
            return ending
    raise InputError(f"{path}: the ending names no format; end it with {', '.join(ENDINGS)}.")


def picture(values: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """A grey picture of a map, shape (y, x), uint8; of a volume its middle slice.

    Args:
        values: Shape (y, x) or (z, y, x).
        window: Values shown black and white; None takes the extremes of the picture.
    """
    plane = values[len(values) // 2] if values.ndim == 3 else values
    low, high = window or (float(plane.min()), float(plane.max()))
    share = (plane - low) / max(high - low, 1e-12)
    return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)


def _png(values: np.ndarray, path: Path, window: tuple[float, float] | None) -> bytes:
    if not np.isfinite(values).all():
        raise InputError(f"{path}: the map holds values that are not finite; fill them in.")
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture(values, window)).save(content, "PNG")
    return content.getvalue()


def _write_nifti(path: Path, values: np.ndarray, grid: Grid, quantity: Quantity) -> None:
    """NIfTI axes are (i, j, k) along x, y, z; x and y point left and back here, right and forward there."""
    try:
        import nibabel
    except ImportError:
        raise _missing(path, "nibabel") from None
    depth = grid.origin[0] * _MM if grid.n_dims == 3 else 0.0
    step = grid.spacing * _MM
    affine = np.diag([-step, -step, step, 1.0])
    affine[:3, 3] = -grid.origin[-1] * _MM, -grid.origin[-2] * _MM, depth
    volume = values if values.ndim == 3 else values[np.newaxis]
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.T), affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"{quantity.name} [{quantity.unit}]".encode()[:79]
    ending = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
    with replacing(path) as temporary:
        named = temporary.with_name(temporary.name + ending)
        try:
            nibabel.save(image, named)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def _write_zarr(path: Path, values: np.ndarray, grid: Grid, quantity: Quantity) -> None:
    """A folder in the layout of OME-NGFF 0.5."""
    try:
        import zarr
    except ImportError:
        raise _missing(path, "zarr") from None
    names = ("z", "y", "x")[-grid.n_dims :]
    place = [
        {"type": "scale", "scale": [grid.spacing * _MM] * grid.n_dims},
        {"type": "translation", "translation": [x * _MM for x in grid.origin]},
    ]
    about: Any = {
        "version": "0.5",
        "multiscales": [
            {
                "name": f"{quantity.name} [{quantity.unit}]",
                "axes": [{"name": name, "type": "space", "unit": "millimeter"} for name in names],
                "datasets": [{"path": "0", "coordinateTransformations": place}],
            }
        ],
    }
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        root = zarr.open_group(temporary, mode="w", zarr_format=3)
        array = root.create_array("0", shape=values.shape, dtype=values.dtype, dimension_names=names)
        array[...] = values
        root.attrs.update({"ome": about})
        if path.exists() and not (path / "zarr.json").is_file():
            raise InputError(f"{path}: something that is no Zarr stands there; choose another name.")
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    except OSError as error:
        raise InputError(f"{path}: could not be written ({error.strerror}); choose another place.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_csv(path: Path, values: np.ndarray, grid: Grid, quantity: Quantity) -> None:
    names = ("z", "y", "x")[-grid.n_dims :]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*(f"{name} [mm]" for name in names), f"{quantity.name} [{quantity.unit}]"])
    points = grid.points().reshape(-1, grid.n_dims).numpy() * _MM
    for point, value in zip(points, values.ravel(), strict=True):
        rows.writerow([*(f"{x:.7g}" for x in point), f"{float(value):.9g}"])
    write_bytes(path, text.getvalue().encode())


def _missing(path: Path, library: str) -> InputError:
    return InputError(
        f"{path}: this format needs {library}, which is not installed; run pip install 'usct[export]'."
    )


_WRITERS: dict[str, Callable[[Path, np.ndarray, Grid, Quantity], None]] = {
    ".nii": _write_nifti,
    ".nii.gz": _write_nifti,
    ".zarr": _write_zarr,
    ".csv": _write_csv,
}
ENDINGS = (*_WRITERS, ".png", ".dcm")
