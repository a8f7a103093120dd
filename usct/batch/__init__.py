"""Whole populations: simulated, reconstructed, diagnosed and evaluated case by case, on one machine or many.

A dataset is a folder of phantoms, or of scans, with a `manifest.json` that lists them with their hashes
(`usct.batch.dataset`). What comes of it:

    results/config.toml                   the settings of the batch, in full
    results/manifest.json                 every run (a case by a method) with folder, status and sentence
    results/<case>/scan.h5                while the case is under way; stays with scan.keep = true
    results/<case>/<method>/result.h5     reconstruction
    results/<case>/<method>/kernels.h5    diagnosis, where it is asked for
    results/<case>/<method>/evaluation.json  scores, where the truth is known
    results/<case>/<method>/done.json     completion record: hashes of settings, input and files
    results/<case>/<method>/failed.json   instead: the sentence why, and after how many attempts

Every file is written in one step, and a run counts only once its completion record is there, which comes last.
A rerun does what has no record, or one whose hashes are not those of now. A case is one process (or one task of
Dask), alone with its folder: whatever kills it takes nothing else along.
"""

from usct.batch.dataset import CaseFile, make_dataset, read_dataset, slice_dataset
from usct.batch.running import Summary, run_batch
from usct.batch.settings import BatchSettings, batch_names, load_batch

__all__ = [
    "BatchSettings",
    "CaseFile",
    "Summary",
    "batch_names",
    "load_batch",
    "make_dataset",
    "read_dataset",
    "run_batch",
    "slice_dataset",
]
