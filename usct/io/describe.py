"""Telling people what is in a file, and what is wrong with it."""

import os
from pathlib import Path

from usct.acquisition import Acquisition, Spectra, Traces
from usct.diagnosis import Diagnosis
from usct.errors import InputError
from usct.io import channels
from usct.io.checks import RefusalError
from usct.io.dispatch import read
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction
from usct.travel_times import TravelTimes
from usct.units import KILOHERTZ, MEGAHERTZ, MICROSECOND, MILLIMETRE

_CONJUGATED = -0.25
Rows = list[tuple[str, str]]


def describe(path: str | os.PathLike[str], positions: Path | None = None) -> Rows:
    """List the facts of a file as (name, value) pairs, for people.

    Args:
        path: Any file that `load` reads.
        positions: As for `load`.

    Raises:
        InputError: As `load`.
    """
    path = Path(path)
    contents = read(path, positions)
    thing = contents.thing
    rows = [("file", str(path)), ("format", contents.file_format)]
    if isinstance(thing, Acquisition):
        return rows + _scan_rows(thing)
    if isinstance(thing, TravelTimes):
        return rows + _travel_time_rows(thing)
    if isinstance(thing, Diagnosis):
        return rows + _diagnosis_rows(thing)
    return rows + (_phantom_rows(thing) if isinstance(thing, Phantom) else _result_rows(thing))


def problems(path: str | os.PathLike[str], positions: Path | None = None) -> list[str]:
    """Find everything that is wrong with a file.

    Args:
        path: Any file.
        positions: As for `load`.

    Returns:
        One sentence for each problem, with file, value and remedy; empty if there is none.
    """
    path = Path(path)
    try:
        contents = read(path, positions)
    except RefusalError as error:
        return list(error.sentences)
    except InputError as error:
        return [str(error)]
    thing = contents.thing
    return [*contents.masks, *(_conjugated(thing, path) if isinstance(thing, Acquisition) else [])]


def _conjugated(scan: Acquisition, path: Path) -> list[str]:
    """Complain of spectra whose phase runs against the package's convention."""
    if not isinstance(scan.data, Spectra):
        return []
    lowest = int(scan.data.frequencies.argmin())
    usable = scan.data.values[lowest] * (scan.data.weights[lowest] > 0)
    positions = scan.array.positions
    transmits, receives = (positions[index].numpy() for index in (scan.array.transmits, scan.array.receives))
    frequency = float(scan.data.frequencies[lowest])
    if channels.phase_slope(usable.numpy(), frequency, transmits, receives) > _CONJUGATED:
        return []
    return [
        f"{path}: the spectra run outwards as exp(+ikr); conjugate them, for exp(-ikr) is the convention."
    ]


def _scan_rows(scan: Acquisition) -> Rows:
    array = scan.array
    rows = [
        ("kind", "scan"),
        ("title", scan.title),
        ("elements", f"{array.n_elements}, {array.positions.shape[1]}-D"),
        ("ring radius", f"{array.radius / MILLIMETRE:.2f} mm"),
        ("transmits x receives", f"{len(array.transmits)} x {len(array.receives)}"),
        *(_spectra_rows(scan.data) if isinstance(scan.data, Spectra) else _trace_rows(scan.data)),
        ("water", "unknown" if scan.water_sound_speed is None else f"{scan.water_sound_speed:.2f} m/s"),
        ("water shot", "" if scan.water is None else "in the same file"),
        ("truth", "none" if scan.truth is None else _map(scan.truth)),
        ("start model", "none" if scan.start is None else _map(scan.start)),
    ]
    return (
        [row for row in rows if row[1]]
        + _texts(dict(scan.metadata))
        + [("note", note) for note in scan.notes]
    )


def _travel_time_rows(times: TravelTimes) -> Rows:
    array, delays = times.array, times.delays[times.delays.isfinite()] / MICROSECOND
    difference = ((times.delays - times.delays.T) / MICROSECOND)[(times.delays + times.delays.T).isfinite()]
    return [
        ("kind", "travel times: with the object minus in water"),
        ("title", times.title),
        ("elements", str(array.n_elements)),
        ("ring radius", f"{array.radius / MILLIMETRE:.2f} mm"),
        ("picks", f"{times.n_picks} of {times.delays.numel()} channels"),
        ("delays", f"{float(delays.min()):.2f} to {float(delays.max()):.2f} us"),
        ("reciprocity", f"{float(difference.square().mean().sqrt()):.3f} us rms between the two directions"),
        *(("note", note) for note in times.notes),
    ]


def _spectra_rows(spectra: Spectra) -> Rows:
    frequencies = ", ".join(f"{f / KILOHERTZ:g}" for f in spectra.frequencies[:12].tolist())
    more = ", ..." if len(spectra.frequencies) > 12 else ""
    masked = int((spectra.weights == 0).all(dim=0).sum())
    rows = [
        ("domain", "frequency"),
        ("frequencies", f"{len(spectra.frequencies)}: {frequencies}{more} kHz"),
        ("masked channels", f"{masked} of {spectra.weights[0].numel()}"),
    ]
    return rows + ([("damping", f"{spectra.damping:g} 1/s")] if spectra.damping else [])


def _trace_rows(traces: Traces) -> Rows:
    n_samples = traces.values.shape[2]
    last = traces.start_time + (n_samples - 1) / traces.sampling_frequency
    return [
        ("domain", "time"),
        ("samples", f"{n_samples} of {str(traces.values.dtype).removeprefix('torch.')}"),
        ("sampling", f"{traces.sampling_frequency / MEGAHERTZ:.4g} MHz"),
        ("record", f"{traces.start_time / MICROSECOND:.2f} to {last / MICROSECOND:.2f} us"),
        ("masked channels", f"{int((~traces.valid).sum())} of {traces.valid.numel()}"),
    ]


def _phantom_rows(phantom: Phantom) -> Rows:
    rows = [
        ("kind", "phantom"),
        ("title", phantom.title),
        ("map", _map(phantom.medium)),
        ("attenuation", "none" if phantom.medium.attenuation is None else "yes"),
        ("density", "uniform" if phantom.medium.density is None else "yes"),
        ("tissues", ", ".join(phantom.tissues)),
    ]
    return [row for row in rows if row[1]] + _texts(phantom.provenance)


def _result_rows(result: Reconstruction) -> Rows:
    rows = [
        ("kind", "result"),
        ("status", result.message or result.status.value),
        ("image", _map(result.medium)),
    ]
    if result.skips is not None:
        rows.append(("cycle skips", result.skips.sentence()))
    if result.field is not None:
        rows.append(("representation", f"{result.field.name}, {result.field.n_parameters} parameters"))
    if result.history:
        first, last = result.history[0], result.history[-1]
        stages = list(dict.fromkeys(record.stage for record in result.history))
        rows += [
            ("stages", f"{len(stages)}, up to {max(r.frequency for r in result.history) / KILOHERTZ:g} kHz"),
            ("iterations", str(len(result.history))),
            ("objective", f"{first.objective:.4g} to {last.objective:.4g}"),
            ("solver residual", f"{max(record.solver_residual for record in result.history):.1e} at most"),
            ("factorisations", str(last.n_solves)),
            ("time", f"{last.seconds:.1f} s"),
        ]
    return rows + _texts(dict(result.provenance))


def _diagnosis_rows(diagnosis: Diagnosis) -> Rows:
    grid, kernel = diagnosis.grid, diagnosis.data_kernel
    rows = [
        ("kind", "diagnosis: what the data support"),
        *(("finding", sentence) for sentence in diagnosis.summary),
        ("point", diagnosis.at),
        ("frequencies", f"{', '.join(f'{f / KILOHERTZ:g}' for f in diagnosis.frequencies)} kHz"),
        ("noise", f"{diagnosis.noise_db:.1f} dB below the data"),
        ("representation", f"{diagnosis.representation}, {diagnosis.n_parameters} parameters"),
        ("optimizer", diagnosis.optimizer),
        ("data", f"{diagnosis.n_data} real numbers"),
        ("maps", f"{' x '.join(map(str, grid.shape))} nodes of {grid.spacing / MILLIMETRE:.4g} mm"),
        ("modes", f"{len(kernel.eigenvalues)}, {kernel.effective_rank:.4g} count"),
        ("determined", f"about {kernel.degrees_of_freedom:.4g} numbers"),
    ]
    return rows + _texts(dict(diagnosis.provenance))


def _map(medium: Medium) -> str:
    size = " x ".join(str(n) for n in medium.grid.shape)
    low, high = float(medium.sound_speed.min()), float(medium.sound_speed.max())
    return f"{size} nodes of {medium.grid.spacing / MILLIMETRE:.4g} mm, {low:.1f} to {high:.1f} m/s"


def _texts(texts: dict[str, str]) -> Rows:
    """Texts of one line, shortened; long ones, such as whole configurations, stay in the file."""
    return [(key, value) for key, value in texts.items() if "\n" not in value and len(value) <= 120]
