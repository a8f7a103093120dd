"""Everything of a diagnosis that fits into a table, as CSV."""

import csv
import io
from pathlib import Path

import torch

from usct.diagnosis import Diagnosis
from usct.io.atomic import write_text
from usct.io.native_kernels import DRIFT, TRANSFER

Table = dict[str, torch.Tensor]


def write_csv(diagnosis: Diagnosis, folder: Path) -> tuple[Path, ...]:
    """Write curves, maps, modes of both sides and rows as CSV files into a folder; units stand in the headings.

    Args:
        diagnosis: What to write.
        folder: An existing folder.

    Returns:
        The files, each written in one step.

    Raises:
        InputError: If a file cannot be written.
    """
    tables = _curves(diagnosis) | _images(diagnosis) | {"data_modes": _patterns(diagnosis)}
    files = []
    for name, columns in tables.items():
        files.append(folder / f"{name}.csv")
        write_text(files[-1], _csv(columns))
    return tuple(files)


def _curves(diagnosis: Diagnosis) -> dict[str, Table]:
    """Spectrum, density, transfer, decay and drift."""
    data, image, decay = diagnosis.data_kernel, diagnosis.image_kernel, diagnosis.decay
    tables = {
        "spectrum": {
            "mode": torch.arange(1, len(data.eigenvalues) + 1),
            "eigenvalue": data.eigenvalues,
            "error": data.errors,
            "share_of_residual_energy": data.energy,
            "effective_steps": data.effective_steps,
        },
        "density": {"eigenvalue": data.nodes, "count": data.weights},
        "transfer": {
            f"{name} [{units}]" if units != "1" else name: getattr(image, attribute)
            for name, (attribute, units) in TRANSFER.items()
        },
    }
    if decay is not None:
        steps, modes = decay.predicted.shape
        tables["decay"] = {
            "step": torch.arange(steps).repeat_interleave(modes),
            "mode": torch.arange(1, modes + 1).repeat(steps),
            "predicted": decay.predicted.reshape(-1),
            "measured": decay.measured.reshape(-1),
        }
    if diagnosis.drift is not None:
        tables["drift"] = {name: getattr(diagnosis.drift, name) for name in DRIFT}
    return tables


def _images(diagnosis: Diagnosis) -> dict[str, Table]:
    """Maps, modes and rows, a line for every cell that may change."""
    region = diagnosis.region
    y, x = (1e3 * diagnosis.grid.points()[region]).unbind(-1)
    where = {"x [mm]": x, "y [mm]": y}
    maps = {"sound_speed [m/s]": diagnosis.sound_speed}
    if diagnosis.resolution is not None:
        maps["resolution [mm]"] = 1e3 * diagnosis.resolution
    if diagnosis.standard_deviation is not None:
        maps["standard_deviation [m/s]"] = diagnosis.standard_deviation
    modes = {f"mode_{n}": mode for n, mode in enumerate(diagnosis.image_kernel.modes, 1)}
    rows: Table = {}
    for row in diagnosis.rows:
        place = f"({1e3 * row.position[1]:.4g}, {1e3 * row.position[0]:.4g}) mm"
        rows |= {f"moved with {place}": row.moved, f"answer to {place}": row.answer}
    images = {"maps": maps, "modes": modes, "rows": rows}
    return {name: where | {key: v[region] for key, v in of.items()} for name, of in images.items() if of}


def _patterns(diagnosis: Diagnosis) -> Table:
    """Modes of the data's side, a line for every channel that any of them reaches; others were not used."""
    modes = diagnosis.data_kernel.modes
    frequency, transmit, receive = (modes != 0).any(dim=0).nonzero(as_tuple=True)
    found = modes[:, frequency, transmit, receive]
    parts = {
        f"{part}_{n}": getattr(mode, part) for n, mode in enumerate(found, 1) for part in ("real", "imag")
    }
    of = torch.tensor(diagnosis.frequencies, dtype=torch.float64)
    return {"frequency [Hz]": of[frequency], "transmit": transmit, "receive": receive} | parts


def _csv(columns: Table) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return buffer.getvalue()
