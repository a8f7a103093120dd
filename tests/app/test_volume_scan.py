"""Scans in three dimensions by the command line, and shots spread through a cluster."""

import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from tests.helpers import relative_error
from usct import cli, io, phantom
from usct.acquisition import TransducerArray
from usct.grid import Grid
from usct.medium import Medium
from usct.simulating import TraceSettings, plan

FEW = ("--engine", "time", "--frequencies-mhz", "0.03,0.05", "--radius-mm", 60, "--quiet")


def run(*words):
    with pytest.raises(SystemExit) as outcome:
        cli.main([str(word) for word in words])
    return outcome.value.code


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    path = tmp_path_factory.mktemp("volume") / "volume.h5"
    words = ("disk", "--spacing-mm", 4, "--height-mm", 80, "-o", path, "--quiet")
    assert run("phantom", *words) == 0
    return path


def test_an_ellipsoid_has_the_section_in_the_middle():
    section = phantom.make("disk", spacing=2e-3)
    whole = phantom.ellipsoid(section, 60e-3)
    middle = whole.medium.grid.shape[0] // 2
    assert torch.equal(whole.labels[middle], section.labels)
    assert relative_error(whole.medium.sound_speed[middle], section.medium.sound_speed) < 1e-12
    body = whole.labels > 0
    assert not body[0].any() and not body[-1].any()
    radius = float(section.labels.gt(0).sum() * 4e-6 / torch.pi) ** 0.5
    expected = 4 / 3 * torch.pi * radius**2 * 30e-3
    assert float(body.sum()) * 8e-9 == pytest.approx(expected, rel=0.05)


def test_arrays_around_a_volume():
    cylinder = TransducerArray.cylinder(3, 8, 0.1, 0.06)
    assert sorted({round(z, 6) for z in cylinder.positions[:, 0].tolist()}) == [-0.02, 0.0, 0.02]
    assert torch.allclose(cylinder.positions[:, 1:].norm(dim=1), torch.tensor(0.1, dtype=torch.float64))
    bowl = TransducerArray.hemisphere(64, 0.1)
    assert torch.allclose(bowl.positions.norm(dim=1), torch.tensor(0.1, dtype=torch.float64))
    assert float(bowl.positions[:, 0].max()) < 0
    nearest = torch.cdist(bowl.positions, bowl.positions).fill_diagonal_(1.0).amin(dim=0)
    assert float(nearest.max() / nearest.min()) < 1.7
    assert bowl.with_transmits(5).transmits.tolist() == [0, 12, 25, 38, 51]


@pytest.mark.parametrize("shape", [("cylinder", "--rings", 2, "--height-mm", 40), ("hemisphere",)])
def test_a_volume_is_scanned(volume, tmp_path, shape):
    words = ("--array", *shape, "--elements", 12, "--transmits", 2, *FEW)
    assert run("simulate", volume, "-o", tmp_path / "scan.h5", *words) == 0
    scan = io.load(tmp_path / "scan.h5")
    assert scan.array.positions.shape == (12, 3)
    assert scan.data.values.shape[:2] == (2, 12)
    assert scan.truth.grid.n_dims == 3
    assert float(scan.data.values.abs().max()) > 0


KILLED = """
import os, signal, sys
from usct import cli
from usct.cli.progress import Narrator

def step(self, share, text):
    if share >= 0.4:
        os.kill(os.getpid(), signal.SIGKILL)

Narrator.step = step
cli.main(sys.argv[1:])
"""


def test_a_killed_scan_of_a_volume_goes_on_to_the_same_bits(volume, tmp_path):
    words = [
        "--array",
        "hemisphere",
        "--elements",
        "10",
        "--transmits",
        "6",
        *map(str, FEW),
        "--snr-db",
        "30",
    ]

    def command(name):
        return ["simulate", str(volume), "-o", str(tmp_path / name), *words]

    assert run(*command("whole.h5")) == 0
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *command("scan.h5")], timeout=120, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.name for path in tmp_path.glob("scan.h5*")] == ["scan.h5.part"]
    assert run(*command("scan.h5"), "--resume") == 0
    whole, scan = (io.load(tmp_path / name).data.values for name in ("whole.h5", "scan.h5"))
    assert torch.equal(torch.as_tensor(scan), torch.as_tensor(whole))


def test_the_grid_holds_the_object_above_and_below_a_ring(volume):
    made = io.load(volume)
    ring = TransducerArray.ring(8, 60e-3)
    raised = TransducerArray.of(torch.nn.functional.pad(ring.positions, (1, 0)))
    recorder, _ = plan(made.medium, raised, TraceSettings((30e3, 50e3)))
    low, high = (
        float(x) for x in (recorder.simulation.grid.axis(0)[0], recorder.simulation.grid.axis(0)[-1])
    )
    assert low < -35e-3 and high > 35e-3, "the body is 80 mm high"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--array", "ring"), "use a ring for a slice, and a cylinder or a hemisphere for a volume"),
        (("--array", "cylinder", "--elements", 13), "do not make 8 rings"),
        (("--array", "hemisphere", "--radius-mm", 20), "lies inside the object"),
        (("--array", "hemisphere", "--spacing-mm", 0.1), "GB can be used; choose lower frequencies"),
        (("--array", "hemisphere", "--time-step-ns", 9000), "use at most"),
        (("--array", "hemisphere", "--spacing-mm", 20), "use at most"),
        (("--array", "hemisphere", "--scheduler", "tcp://127.0.0.1:9"), "no scheduler answers"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(volume, tmp_path, capsys, monkeypatch, words, sentence):
    from usct.batch import cluster

    monkeypatch.setattr(cluster, "ANSWER", 1)
    assert run("simulate", volume, "-o", tmp_path / "scan.h5", *FEW, *words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert sentence in told
    assert not list(tmp_path.glob("scan.h5*"))


@pytest.mark.slow
def test_shots_are_spread_through_a_cluster(volume, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs Dask")
    words = ("--array", "hemisphere", "--elements", 10, "--transmits", 6, *FEW)
    assert run("simulate", volume, "-o", tmp_path / "here.h5", *words) == 0
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with closing(distributed.LocalCluster(**settings)) as workers:
        address = workers.scheduler_address
        assert run("simulate", volume, "-o", tmp_path / "there.h5", *words, "--scheduler", address) == 0
    here, there = (io.load(tmp_path / f"{name}.h5").data.values for name in ("here", "there"))
    # Tasks are of other sizes than here, and so are the products of matrices in single precision.
    assert relative_error(torch.as_tensor(there), torch.as_tensor(here)) < 1e-5


def worker_name():
    from distributed import get_worker

    return get_worker().name


@pytest.mark.slow
def test_shots_for_gpus_go_to_workers_that_have_one(volume, tmp_path, capsys):
    distributed = pytest.importorskip("distributed", reason="needs Dask")
    from usct.batch.cluster import ClusterExecutor

    options = {"nthreads": 1, "dashboard_address": None}
    kinds = {"plain": {}, "gpu": {"resources": {"GPU": 1}}}
    workers = {
        name: {"cls": distributed.Worker, "options": options | more | {"name": name}}
        for name, more in kinds.items()
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard_address": ":0", "host": "127.0.0.1"}}
    with (
        closing(distributed.SpecCluster(workers, scheduler)) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        ClusterExecutor(client, gpu=True) as pool,
    ):
        assert {pool.submit(worker_name).result(60) for _ in range(4)} == {"gpu"}
        if torch.cuda.is_available():
            return
        # What only a worker can know comes back as a sentence.
        words = ("--array", "hemisphere", "--elements", 6, "--transmits", 2, *FEW, "--device", "cuda")
        address = cluster.scheduler_address
        assert run("simulate", volume, "-o", tmp_path / "scan.h5", *words, "--scheduler", address) == 2
        assert "device 'cuda' cannot be used" in capsys.readouterr().err


def test_voxels_of_bone_do_not_shorten_the_time_step_much():
    """Band-limited maps overshoot next to bone, in three directions at once; waves there must not run away."""
    grid = Grid.centred((25, 25, 25), 4e-3)
    random = torch.rand(grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bone = ((random > 0.6) & (grid.points().norm(dim=-1) < 0.03)).double()
    medium = Medium(grid, 1500 + 1300 * bone, 180 * bone, 1000 + 850 * bone, 1.0, 1e6)
    settings = TraceSettings((25e3, 60e3), spacing=4e-3)
    recorder, fine = plan(medium, TransducerArray.hemisphere(8, 0.045), settings)
    plain = replace(recorder.simulation, time_step=None).stable_in(medium.resampled(fine.grid))
    assert recorder.simulation.step > 0.7 * plain.step
    assert float(fine.sound_speed.max()) < 1.26 * 2800
    assert float(fine.attenuation.max()) <= 180
