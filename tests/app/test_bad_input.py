"""Bad input of every kind: exit code 2, one line with what is wrong and what to do, and nothing written over."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

from usct import cli, io
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom

FREQUENCIES = torch.tensor([60e3, 90e3], dtype=torch.float64)
RING = TransducerArray.ring(24, 40e-3)


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


def spectra() -> Spectra:
    phase = -2 * torch.pi * FREQUENCIES[:, None, None] * RING.distances() / 1500.0
    return Spectra.of(torch.polar(torch.ones_like(phase), phase), FREQUENCIES)


def write_plain(path, **items) -> None:
    """A file such as MATLAB 7.3 writes: HDF5 with bare datasets, axes in reverse."""
    n = 24
    samples = np.random.default_rng(0).standard_normal((n, n, 300)).astype(np.float32)
    everything = {
        "full_dataset": samples,
        "time": np.arange(300) * 1e-6,
        "transducerPositionsXY": RING.positions.numpy()[:, ::-1].copy(),
    } | items
    with h5py.File(path, "w") as file:
        for name, values in everything.items():
            file[name] = values


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A good phantom, scans good and bad, and an old result that must survive."""
    monkeypatch.chdir(tmp_path)
    grid = Grid.covering(45e-3, 1e-3)
    inside = grid.disc(16e-3)
    medium = Medium(grid, torch.where(inside, 1550.0, 1500.0).double())
    io.save(Phantom(medium, inside.to(torch.int16), ("water", "tissue")), tmp_path / "phantom.h5")
    scan = Acquisition(RING, spectra(), 1500.0)
    io.save(scan, tmp_path / "scan.h5")
    times = torch.arange(400) / 1e6
    traces = torch.sin(6.28 * 8e4 * (times - RING.distances()[..., None] / 1500.0)).float()
    io.save(dataclasses.replace(scan, data=Traces.of(traces, 0.0, 1e6)), tmp_path / "traces.h5")
    skull = Medium(grid, torch.where(inside, 2900.0, 1500.0).double())
    io.save(dataclasses.replace(scan, start=skull), tmp_path / "skull.h5")
    content = (tmp_path / "scan.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "old.h5").write_bytes(b"an old result")
    (tmp_path / "run.toml").write_text("[schedule]\niteratons = 3\n", encoding="utf-8")
    write_plain(tmp_path / "mm.h5", transducerPositionsXY=1e3 * RING.positions.numpy())
    write_plain(tmp_path / "axes.h5", full_dataset=np.ones((30, 24, 24), np.float32))
    write_plain(tmp_path / "short.h5", transducerPositionsXY=RING.positions.numpy()[:20])
    write_plain(tmp_path / "silent.h5", full_dataset=np.zeros((24, 24, 300), np.float32))
    return tmp_path


def reconstruct(name: str, *sets: str) -> tuple:
    words = [word for setting in sets for word in ("--set", setting)]
    return ("reconstruct", name, "-o", "old.h5", *words)


def simulate(*words: object) -> tuple:
    return ("simulate", "phantom.h5", "-o", "old.h5", "--elements", 24, *words)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (reconstruct("none.h5"), ["none.h5", "no such file", "check the path"]),
        (reconstruct("cut.h5"), ["cut.h5", "truncated", "copy it again"]),
        (reconstruct("axes.h5"), ["axes.h5", "30", "24", "order of the axes"]),
        (reconstruct("mm.h5"), ["mm.h5", "millimetres", "divide them by 1000"]),
        (reconstruct("short.h5"), ["short.h5", "20", "24", "store one for each"]),
        (reconstruct("silent.h5"), ["silent.h5", "no usable sample"]),
        (reconstruct("scan.h5", "schedule.frequencies_mhz=[0.07]"), ["frequencies_mhz", "70 kHz", "60, 90"]),
        (reconstruct("scan.h5", "schedule.frequencies_mhz=[]"), ["frequencies_mhz", "[]"]),
        (reconstruct("traces.h5", "schedule.frequencies_mhz=[0.8]"), ["frequencies_mhz", "0.8 MHz", "lower"]),
        (reconstruct("scan.h5", "schedule.iteratons=3"), ["iteratons", "iterations"]),
        (reconstruct("scan.h5", "schedule.damping_time_us=50"), ["damping_time_us", "leave it out"]),
        (reconstruct("scan.h5", "device=cuda:99"), ["'cuda:99'", "choose auto, cpu"]),
        (reconstruct("scan.h5", "device=meta"), ["'meta'", "choose auto, cpu"]),
        (reconstruct("scan.h5", "device=toaster"), ["'toaster'", "choose auto, cpu"]),
        (reconstruct("scan.h5", "grid.image_spacing_mm=0.0001"), ["grid.image_spacing_mm", "larger"]),
        (reconstruct("scan.h5", "start.sound_speed=1800"), ["bounds.sound_speed", "1800", "widen"]),
        (reconstruct("skull.h5"), ["bounds.sound_speed", "widen"]),
        ((*reconstruct("scan.h5"), "--config", "run.toml"), ["run.toml", "schedule.iteratons"]),
        ((*reconstruct("scan.h5"), "--resume"), ["old.checkpoint", "no checkpoint", "without --resume"]),
        ((*reconstruct("scan.h5"), "--preset", "lung"), ["'lung'", "breast"]),
        (simulate("--radius-mm", 10), ["element 0", "inside the object", "larger radius"]),
        (simulate("--frequencies-mhz", "900"), ["900 MHz", "lower frequencies"]),
        (simulate("--frequencies-mhz", ""), ["--frequencies-mhz"]),
    ],
    ids=lambda value: "-".join(map(str, value[1:]))[:60] if isinstance(value, tuple) else "",
)
def test_one_line_and_nothing_written_over(folder, capsys, words, parts):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(*words) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("usct: Simulating")]
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("usct: error: ")
    for part in parts:
        assert part in lines[0], lines[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_channels_that_cannot_be_used_are_masked_and_listed(folder, capsys):
    samples = np.random.default_rng(0).standard_normal((24, 24, 300)).astype(np.float32)
    samples[2, 9, 7] = np.nan
    samples[5], samples[:, 5] = 0, 0
    write_plain(folder / "worn.h5", full_dataset=samples)
    assert run("validate", folder / "worn.h5") == 1
    text = capsys.readouterr().out
    assert "NaN or infinite samples (transmit-receive 2-9)" in text
    assert "Masked every transmit channel of element 5" in text
    assert "Masked every receive channel of element 5" in text
    scan = io.load(folder / "worn.h5")
    assert not scan.data.valid[2, 9]
    assert not scan.data.valid[5].any()
    assert torch.isfinite(scan.data.values).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
def test_axis_orders_that_sizes_reveal_are_read_right_and_told(folder, order):
    samples = np.random.default_rng(0).standard_normal((24, 24, 300)).astype(np.float32)
    write_plain(folder / "order.h5", full_dataset=samples.transpose(order))
    scan = io.load(folder / "order.h5")
    assert np.array_equal(scan.data.values.numpy(), samples)
    assert any("axis order" in note for note in scan.notes) == (order != (0, 1, 2))


def test_a_worn_scan_is_reconstructed_all_the_same(folder, capsys):
    data = spectra()
    # Transmits with phases of their own show the reader which axis is which.
    values = data.values * torch.exp(1j * 2.4 * torch.arange(24.0) ** 2)[:, None]
    values[:, 2, 9], values[:, 5], values[:, :, 5] = float("nan"), 0, 0
    with h5py.File(folder / "worn.h5", "w") as file:
        file["REC_DATA"] = values.permute(0, 2, 1).numpy()  # MATLAB stores its axes in reverse
        file["f"], file["x_circ"] = FREQUENCIES.numpy(), RING.positions[:, 1].numpy()
        file["y_circ"] = RING.positions[:, 0].numpy()
    words = ("--set", "schedule.iterations=1", "--set", "schedule.inner_iterations=1", "--device", "cpu")
    assert run("reconstruct", folder / "worn.h5", "-o", folder / "new.h5", *words) == 0
    text = capsys.readouterr().out
    assert "element 5" in text
    assert "2-9" in text
    assert torch.isfinite(io.load(folder / "new.h5").medium.sound_speed).all()


def test_resuming_with_other_settings_is_refused(folder, capsys, monkeypatch):
    from usct.cli.progress import Narrator

    def interrupt(self, iterate):  # noqa: ARG001
        raise KeyboardInterrupt

    words = (
        "reconstruct",
        "scan.h5",
        "-o",
        "new.h5",
        "--set",
        "schedule.inner_iterations=1",
        "--set",
        "start.disc=false",
    )
    with monkeypatch.context() as patched:
        patched.setattr(Narrator, "iterate", interrupt)
        assert run(*words) == 130
    assert "--resume" in capsys.readouterr().err
    checkpoint = (folder / "new.checkpoint").read_bytes()
    assert run(*words, "--set", "schedule.cutoff=0.5", "--resume") == 2
    assert "new.checkpoint: was made from another scan or with other settings" in capsys.readouterr().err
    assert (folder / "new.checkpoint").read_bytes() == checkpoint
    assert run(*words, "--resume", "-q") == 0
