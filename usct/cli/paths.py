"""Reading inputs of the right kind, and making sure that an output can be written before work begins."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from usct.errors import InputError

if TYPE_CHECKING:
    from usct.acquisition import Acquisition
    from usct.diagnosis import Diagnosis
    from usct.medium import Medium
    from usct.phantom import Phantom
    from usct.reconstruction import Reconstruction


def prepare_output(output: Path, *inputs: Path | None) -> None:
    """Make the folder of an output, and refuse an output that is an input or a folder.

    Raises:
        InputError: If writing `output` would destroy an input or cannot work.
    """
    for path in inputs:
        if path is not None and output.exists() and path.exists() and output.samefile(path):
            raise InputError(f"{output}: the output is also an input; give -o another name.")
    if output.is_dir():
        raise InputError(f"{output}: this is a folder; give the name of a file to write.")
    prepare_folder(output.parent)


def prepare_hdf5(output: Path, *inputs: Path | None) -> None:
    """As `prepare_output`, for a file in the native format.

    Raises:
        InputError: As `prepare_output`, or if the name promises another format.
    """
    if not output.is_dir() and output.suffix.lower() not in {".h5", ".hdf5"}:
        raise InputError(f"{output}: HDF5 is written, which the name does not say; end it with .h5.")
    prepare_output(output, *inputs)


def prepare_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be made ({error.strerror}); choose another."
        ) from error


def load_scan(path: Path) -> "Acquisition":
    """Read a scan.

    Raises:
        InputError: If the file cannot be read or holds something else.
    """
    from usct import io
    from usct.acquisition import Acquisition

    thing = io.load(path)
    if not isinstance(thing, Acquisition):
        raise InputError(f"{path}: this is a {_kind(thing)}; give a scan, such as 'usct simulate' writes.")
    return thing


def load_water(path: Path, scan: Path) -> "Acquisition":
    """Read a shot in water alone for a scan: a scan of its own, or what the scan's own file holds of it.

    Raises:
        InputError: If the file cannot be read, holds something else, or is the scan itself without a water shot.
    """
    thing = load_scan(path)
    if thing.water is None and path.samefile(scan):
        raise InputError(f"{path}: this scan holds no water shot; give the file of one with --water.")
    return thing.water_shot or thing


def load_phantom(path: Path) -> "Phantom":
    """Read a phantom.

    Raises:
        InputError: If the file cannot be read or holds something else.
    """
    from usct import io
    from usct.phantom import Phantom

    thing = io.load(path)
    if not isinstance(thing, Phantom):
        raise InputError(f"{path}: this is a {_kind(thing)}; give a phantom, such as 'usct phantom' writes.")
    return thing


def load_result(path: Path) -> "Reconstruction":
    """Read a result.

    Raises:
        InputError: If the file cannot be read or holds something else.
    """
    from usct import io
    from usct.reconstruction import Reconstruction

    thing = io.load(path)
    if not isinstance(thing, Reconstruction):
        raise InputError(
            f"{path}: this is a {_kind(thing)}; give a result, such as 'usct reconstruct' writes."
        )
    return thing


def load_diagnosis(path: Path) -> "Diagnosis":
    """Read a diagnosis.

    Raises:
        InputError: If the file cannot be read or holds something else.
    """
    from usct import io
    from usct.diagnosis import Diagnosis

    thing = io.load(path)
    if not isinstance(thing, Diagnosis):
        raise InputError(
            f"{path}: this is a {_kind(thing)}; give a diagnosis, such as 'usct diagnose' writes."
        )
    return thing


def load_start(path: Path) -> "Medium":
    """Read a model to start from: a phantom or map, or the image of a result.

    Raises:
        InputError: If the file cannot be read or holds no model in two dimensions.
    """
    from usct import io
    from usct.phantom import Phantom
    from usct.reconstruction import Reconstruction

    thing = io.load(path)
    if not isinstance(thing, Phantom | Reconstruction):
        raise InputError(
            f"{path}: this is a {_kind(thing)}; give a model, such as 'usct start skull' writes."
        )
    if thing.medium.grid.n_dims != 2:
        raise InputError(f"{path}: the start model is three-dimensional; give a two-dimensional slice of it.")
    return thing.medium


def load_truth(path: Path) -> "Medium":
    """Read the true medium from a phantom, or from a scan that carries it.

    Raises:
        InputError: If the file cannot be read or holds no truth.
    """
    from usct.phantom import Phantom

    truth = load_truth_in_full(path)
    return truth.medium if isinstance(truth, Phantom) else truth


def load_truth_in_full(path: Path) -> "Phantom | Medium":
    """Read a phantom, or the true medium from a scan that carries it.

    Raises:
        InputError: If the file cannot be read or holds no truth.
    """
    from usct import io
    from usct.acquisition import Acquisition
    from usct.phantom import Phantom

    thing = io.load(path)
    if isinstance(thing, Phantom):
        return thing
    if isinstance(thing, Acquisition) and thing.truth is not None:
        return thing.truth
    raise InputError(f"{path}: this {_kind(thing)} holds no truth; give the phantom that made the data.")


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal; of a folder, that of its files' names and checksums."""
    if path.is_dir():
        listed = [f"{item.name} {sha256(item)}\n" for item in sorted(path.iterdir()) if item.is_file()]
        return hashlib.sha256("".join(listed).encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kind(thing: object) -> str:
    names = {
        "Acquisition": "scan",
        "Phantom": "phantom",
        "Reconstruction": "result",
        "Diagnosis": "diagnosis",
    }
    return names.get(type(thing).__name__, "file of another kind")
