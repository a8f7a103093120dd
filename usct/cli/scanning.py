"""The verb that makes scans: simulate."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.making import Output, Quiet, Seed, parse_frequencies
from usct.cli.paths import load_phantom, prepare_hdf5
from usct.cli.progress import Narrator
from usct.errors import InputError
from usct.units import MICROSECOND, MILLIMETRE

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from usct.acquisition import TransducerArray
    from usct.phantom import Phantom


class Engine(Enum):
    """How scans can be simulated."""

    FREQUENCY = "frequency"
    TIME = "time"
    ELASTIC = "elastic"


class ArrayKind(Enum):
    """Shapes of transducer array that can be simulated."""

    RING = "ring"
    CYLINDER = "cylinder"
    HEMISPHERE = "hemisphere"


@dataclasses.dataclass(frozen=True)
class _Geometry:
    """What the options say about an array."""

    kind: ArrayKind
    n_elements: int
    radius_mm: float
    n_rings: int
    height_mm: float
    transmits: int | None

    def array(self) -> "TransducerArray":
        """The array.

        Raises:
            InputError: If the elements do not fill the rings.
        """
        from usct.acquisition import TransducerArray

        radius = self.radius_mm * MILLIMETRE
        if self.kind is ArrayKind.CYLINDER:
            each, left = divmod(self.n_elements, self.n_rings)
            if left or each < 3:
                raise InputError(
                    f"--elements {self.n_elements} do not make {self.n_rings} rings of three or more; give a multiple"
                )
            made = TransducerArray.cylinder(self.n_rings, each, radius, self.height_mm * MILLIMETRE)
        elif self.kind is ArrayKind.HEMISPHERE:
            made = TransducerArray.hemisphere(self.n_elements, radius)
        else:
            made = TransducerArray.ring(self.n_elements, radius)
        return made if self.transmits is None else made.with_transmits(self.transmits)


@dataclasses.dataclass(frozen=True)
class _Numerics:
    """What the options say about time stepping, and where it runs."""

    spacing_mm: float | None
    time_step_ns: float | None
    duration_us: float | None
    elastic: bool
    workers: int
    scheduler: str | None
    resume: bool
    device: str
    element_mm: float | None

    @property
    def chosen(self) -> bool:
        """Whether anything is not as it is by default."""
        return self != _Numerics(None, None, None, self.elastic, 1, None, False, "auto", None)


def simulate(
    phantom_file: Annotated[Path, typer.Argument(help="Phantom to put in the ring.", metavar="PHANTOM")],
    output: Output,
    array: Annotated[ArrayKind, typer.Option(help="Shape of the array.")] = ArrayKind.RING,
    elements: Annotated[int, typer.Option(min=3, max=8192, help="Number of elements.")] = 256,
    radius_mm: Annotated[float, typer.Option(min=1, max=2000, help="Radius of the array in mm.")] = 110.0,
    rings: Annotated[int, typer.Option(min=1, max=1024, help="Cylinder: rings that share the elements.")] = 8,
    height_mm: Annotated[float, typer.Option(min=0.1, max=2000, help="Cylinder: its height in mm.")] = 100.0,
    transmits: Annotated[
        int | None, typer.Option(min=1, help="How many elements send, evenly chosen; by default all.")
    ] = None,
    frequencies_mhz: Annotated[
        str, typer.Option(help="First:last:step, or a list with commas, in MHz.")
    ] = "0.2:0.65:0.05",
    snr_db: Annotated[float, typer.Option(help="Signal-to-noise ratio in dB; inf adds no noise.")] = 40.0,
    seed: Seed = 0,
    uniform_density: Annotated[
        bool,
        typer.Option("--uniform-density", help="Simulate with the water's density everywhere."),
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option(
            help="Direct solver and spectra, or time stepping and traces; elastic: bone bears shear, no loss."
        ),
    ] = Engine.FREQUENCY,
    spacing_mm: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="Time engine: size of a cell in mm.")
    ] = None,
    time_step_ns: Annotated[
        float | None, typer.Option(min=0.1, max=1e5, help="Time engine: time step in ns.")
    ] = None,
    duration_us: Annotated[
        float | None, typer.Option(min=1, max=1e5, help="Time engine: length of the traces in us.")
    ] = None,
    element_mm: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="Time engine: width of elements in mm; by default points."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Time engine: go on after an interruption.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=1024, help="Time engine: processes that share transmits and GPUs.")
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Time engine: address of a Dask scheduler, such as tcp://host:8786.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="Time engine: auto, cpu, cuda or cuda:0; with --scheduler, cuda: of its workers."),
    ] = "auto",
    quiet: Quiet = False,
) -> None:
    """Simulate what an array records of a phantom, with noise and an unknown pulse.

    The truth rides along in the file for scoring. The time engine records traces of a pulse that fills the
    frequencies; what is done is kept in a file next to the output until all is there.

    [bold]Examples:[/bold]

      usct simulate phantom.h5 -o scan.h5
      usct simulate phantom.h5 -o scan.h5 --elements 512 --frequencies-mhz 0.2,0.3,0.5 --snr-db 30

      usct simulate phantom.h5 -o scan.h5 --engine time --frequencies-mhz 0.2:0.5:0.1

      usct simulate volume.h5 -o scan.h5 --engine time --array hemisphere --elements 512 --transmits 16
    """
    frequencies = parse_frequencies(frequencies_mhz)
    if math.isnan(snr_db):
        raise InputError("--snr-db is nan; give a number of decibels, or inf for no noise.")
    prepare_hdf5(output, phantom_file)
    made = load_phantom(phantom_file)
    if uniform_density:
        made = dataclasses.replace(made, medium=dataclasses.replace(made.medium, density=None))
    geometry = _Geometry(array, elements, radius_mm, rings, height_mm, transmits)
    numerics = _Numerics(
        spacing_mm,
        time_step_ns,
        duration_us,
        engine is Engine.ELASTIC,
        workers,
        scheduler,
        resume,
        device,
        element_mm,
    )
    if engine is not Engine.FREQUENCY:
        _simulate_traces(made, output, geometry, frequencies, snr_db, seed, numerics, quiet)
        return
    if numerics.chosen:
        raise InputError(
            "--resume, --workers, --scheduler, --device, --spacing-mm, --time-step-ns, --duration-us and --element-mm "
            "are for the time engine; add --engine time."
        )
    _simulate(made, output, geometry, frequencies, snr_db, seed, quiet)
    if not quiet:
        typer.echo(f"Wrote {output}: {elements} elements, {len(frequencies)} frequencies")


def _simulate(
    made: "Phantom",
    output: Path,
    geometry: _Geometry,
    frequencies: list[float],
    snr_db: float,
    seed: int,
    quiet: bool,
) -> None:
    from usct import api, io

    noise = snr_db if math.isfinite(snr_db) else None
    array = geometry.array()
    with Narrator(quiet) as narrator:
        scan = api.simulate(made, array, frequencies, snr_db=noise, seed=seed, on_progress=narrator.step)
    io.save(scan, output)


def _simulate_traces(
    made: "Phantom",
    output: Path,
    geometry: _Geometry,
    frequencies: list[float],
    snr_db: float,
    seed: int,
    numerics: _Numerics,
    quiet: bool,
) -> None:
    from usct import io
    from usct.preflight import usable_device
    from usct.simulating import TraceSettings, simulate_traces

    if numerics.scheduler is None:
        usable_device(numerics.device)
    spacing, duration, step = numerics.spacing_mm, numerics.duration_us, numerics.time_step_ns
    width = numerics.element_mm
    settings = TraceSettings(
        (frequencies[0], frequencies[-1]),
        snr_db if math.isfinite(snr_db) else None,
        seed,
        None if spacing is None else spacing * MILLIMETRE,
        None if duration is None else duration * MICROSECOND,
        time_step=None if step is None else step * 1e-3 * MICROSECOND,
        elastic=numerics.elastic,
        element_width=None if width is None else width * MILLIMETRE,
    )
    array = geometry.array()
    store = output.with_name(output.name + ".part")
    with Narrator(quiet) as narrator, _pool(numerics) as pool:
        scan = simulate_traces(
            made, array, settings, store, numerics.resume, narrator.step, pool, numerics.device
        )
    io.save(scan, output)
    store.unlink()
    if not quiet:
        n_samples = scan.data.values.shape[-1]
        typer.echo(f"Wrote {output}: {array.n_elements} elements, traces of {n_samples} samples")


@contextmanager
def _pool(numerics: _Numerics) -> Iterator["Executor | None"]:
    """Where transmits are simulated; None for here."""
    from usct.sharing import processes

    if numerics.scheduler is None:
        with processes(numerics.workers) as pool:
            yield pool
        return
    if numerics.workers > 1:
        raise InputError("--workers are processes on this machine; leave it out beside --scheduler")
    from usct.batch import cluster

    # Which of a worker's GPUs is its own is the worker's affair, by CUDA_VISIBLE_DEVICES.
    gpu = numerics.device.startswith("cuda")
    with cluster.connected(numerics.scheduler) as client, cluster.ClusterExecutor(client, gpu) as pool:
        yield pool
