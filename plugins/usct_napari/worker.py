"""The process that reconstructs: `python -m usct_napari.worker FOLDER`, started by `Run.start`."""

import dataclasses
import json
import sys
import time
from pathlib import Path

from usct_napari.running import Job, Run, Update

POLL = 0.1
"""Seconds between two looks at whether a pause is over."""


def main(folder: Path) -> None:
    """Do the job of a run's folder, and tell in its files how it goes.

    Args:
        folder: Of the run, with `job.json` in it.
    """
    run = Run(folder)
    job = run.job
    assert job is not None, f"{folder} holds no job"
    run.tell("starting", "Reading the scan…")
    from usct.errors import InputError

    try:
        _reconstruct(run, job)
    except InputError as error:
        run.tell("failed", str(error))


def _reconstruct(run: Run, job: Job) -> None:
    from usct import api, io
    from usct.cli import inverting, paths
    from usct.config import load_config
    from usct.reconstruction import Iterate, Status

    scan, output = Path(job.scan), Path(job.output)
    config = load_config(job.preset, None, job.overrides)
    paths.prepare_hdf5(output, scan)
    # The truth is for scoring: what makes the image never sees it.
    blind = dataclasses.replace(paths.load_scan(scan), truth=None)
    run.tell("starting", "Preparing the first update…")
    began = time.monotonic()

    def tell(iterate: Iterate) -> None:
        record, grid = iterate.record, iterate.medium.grid
        place = {"spacing": grid.spacing, "origin": grid.origin}
        io.save_arrays(run.live, {"sound_speed": iterate.medium.sound_speed}, {"grid": json.dumps(place)})
        elapsed = time.monotonic() - began
        update = Update(
            record.stage, record.frequency, record.iteration, record.objective, iterate.fraction, elapsed
        )
        with (run.folder / "progress.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dataclasses.asdict(update)) + "\n")
        _obey(run, f"{record.stage}, update {record.iteration}")

    result = api.reconstruct(
        blind, config, on_iterate=tell, checkpoint=run.checkpoint, resume=run.checkpoint.exists()
    )
    if result.status is Status.CANCELLED:
        run.tell("cancelled", f"{result.message} Resume goes on from there.")
        return
    io.save(inverting.signed(result, inverting.Job(scan, output)), output)
    run.checkpoint.unlink(missing_ok=True)
    run.tell("finished" if result.status is Status.FINISHED else "failed", result.message)


def _obey(run: Run, where: str) -> None:
    """Wait while a pause is wanted; stop where the run is to be cancelled."""
    pause, cancel = run.folder / "pause", run.folder / "cancel"
    if pause.exists() and not cancel.exists():
        run.tell("paused", f"Paused: {where}.")
        while pause.exists() and not cancel.exists():
            time.sleep(POLL)
    if cancel.exists():
        raise KeyboardInterrupt
    run.tell("running", where)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
