"""Travel times: eikonal against closed forms, rays as its derivative, picks under noise, images of known objects."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch

from tests.helpers import assert_adjoint
from tests.io.test_data import third_party
from tests.unit import planted
from usct import cli, io
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.assembly import start_model
from usct.config import load_config
from usct.errors import InputError
from usct.grid import Grid
from usct.starting.travel_time import eikonal, imaging, picking, rays, tomography
from usct.starting.travel_time.pairs import pair_up
from usct.travel_times import TravelTimes

WATER = 1500.0
RING = TransducerArray.ring(64, 60e-3)
CENTRE, WIDTH = (8e-3, -6e-3), 8e-3


def lens(points: np.ndarray, height: float = -1.2e-5) -> np.ndarray:
    """Excess slowness of a Gaussian lens [s/m]."""
    return height * np.exp(-0.5 * ((points - np.array(CENTRE)) ** 2).sum(axis=-1) / WIDTH**2)


def straight_delays(n_steps: int = 500) -> np.ndarray:
    """Its line integrals between all elements, by fine sampling, shape (tx, rx) [s]."""
    p = RING.positions.numpy()
    start, end = p[:, None], p[None]
    total = sum(lens(start + (k + 0.5) / n_steps * (end - start)) for k in range(n_steps))
    return total / n_steps * np.linalg.norm(end - start, axis=-1)


def times(noise: float, seed: int = 0) -> TravelTimes:
    rng = np.random.default_rng(seed)
    delays = straight_delays(200) + noise * rng.standard_normal((64, 64))
    delays[RING.opening_angles().numpy() < np.pi / 4] = np.nan
    return TravelTimes(RING, torch.from_numpy(delays), WATER)


def test_eikonal_is_exact_in_water():
    grid = Grid.covering(20e-3, 2e-3)
    fields = eikonal.solve(np.full(grid.shape, 1 / WATER), grid, 1 / WATER, RING.positions.numpy())
    first, second = np.triu_indices(64, 1)
    p = RING.positions.numpy()
    expected = np.linalg.norm(p[first] - p[second], axis=1) / WATER
    assert np.abs(fields.times(first, p[second]) - expected).max() < 1e-7 * expected.max()


def test_eikonal_in_a_linear_gradient_of_speed():
    """Rays are circles: T = arccosh(1 + g^2 d^2 / (2 c1 c2)) / g; second order leaves a nanosecond here."""
    grid, slope = Grid.covering(75e-3, 1e-3), 1500.0
    speed = WATER + slope * grid.points().numpy()[..., 1]
    p = RING.positions.numpy()[::8]
    fields = eikonal.solve(1 / speed, grid, 1 / WATER, p)
    first, second = np.triu_indices(len(p), 1)
    c1, c2 = (WATER + slope * p[n][:, 1] for n in (first, second))
    distance = np.linalg.norm(p[first] - p[second], axis=1)
    expected = np.arccosh(1 + (slope * distance) ** 2 / (2 * c1 * c2)) / slope
    assert np.abs(distance / WATER - expected).max() > 100e-9, (
        "bending must matter for this test to show anything"
    )
    assert np.abs(fields.times(first, p[second]) - expected).max() < 5e-9


def test_rays_are_the_derivative_of_arrival_times():
    """By Fermat's principle, T(s + ds) - T(s) = G ds up to second order."""
    grid = Grid.covering(45e-3, 1e-3)
    p, region = RING.positions.numpy(), grid.disc(45e-3).numpy()
    first, second = np.triu_indices(64, 24)
    before = 1 / WATER + lens(grid.points().numpy())
    change = np.where(region, 3e-7 * np.cos(grid.points().numpy()[..., 0] / 6e-3), 0.0)
    fields = eikonal.solve(before, grid, 1 / WATER, p)
    matrix, lengths = rays.bent(fields, first, p[second], region, grid)
    assert np.isfinite(lengths).all()
    after = eikonal.solve(before + change, grid, 1 / WATER, p)
    difference = after.times(first, p[second]) - fields.times(first, p[second])
    error = matrix @ change[region] - difference
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(difference**2))
    assert_adjoint(
        lambda v: torch.from_numpy(matrix @ v.numpy()),
        lambda w: torch.from_numpy(matrix.T @ w.numpy()),
        torch.from_numpy(change[region]),
        torch.randn(len(first), dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
    )


def test_straight_rays_sum_slowness_along_lines():
    grid = Grid.covering(45e-3, 1e-3)
    p, region = RING.positions.numpy(), grid.disc(45e-3).numpy()
    first, second = np.triu_indices(64, 8)
    matrix = rays.straight(p[first], p[second], region, grid)
    expected = straight_delays()[first, second]
    error = matrix @ lens(grid.points().numpy())[region] - expected
    assert np.abs(error).max() < 0.01 * np.abs(expected).max()


def test_planted_outliers_are_left_out_and_others_kept():
    clean = times(noise=20e-9)
    delays = clean.delays.clone()
    rng = np.random.default_rng(4)
    pairs = np.argwhere(np.triu(np.isfinite(delays.numpy()), 1))
    wrong = pairs[rng.choice(len(pairs), len(pairs) // 50, replace=False)]
    for tx, rx in wrong:  # a cycle too late in one direction
        delays[tx, rx] += 1e-6
    pairs = pair_up(TravelTimes(RING, delays, WATER))
    before = pair_up(clean)
    angles = RING.positions.numpy()
    order = np.argsort(np.arctan2(angles[:, 0], angles[:, 1]), kind="stable")
    kept = {frozenset((order[a], order[b])) for a, b in zip(pairs.first, pairs.second, strict=True)}
    planted = {frozenset(pair) for pair in wrong.tolist()}
    assert not kept & planted
    assert len(pairs.first) >= 0.97 * (len(before.first) - len(planted))


def test_an_image_finds_a_lens_from_noisy_times_and_tells_how():
    image = imaging.image_travel_times(times(noise=10e-9), WATER, Grid.covering(50e-3, 2e-3))
    truth = 1 / (1 / WATER + lens(image.medium.grid.points().numpy()))
    inside = image.medium.grid.disc(WIDTH * 2, CENTRE).numpy()
    error = np.sqrt(np.mean((image.medium.sound_speed.numpy() - truth)[inside] ** 2))
    water = np.sqrt(np.mean((WATER - truth)[inside] ** 2))
    assert error < 0.25 * water, f"{error:.1f} of {water:.1f} m/s"
    assert image.pairs.noise == pytest.approx(10e-9 * np.sqrt(2), rel=0.1)
    assert "straight" in image.held_out and len(image.held_out) > 1


def test_a_lost_element_delay_does_not_reach_the_image():
    clean = times(noise=10e-9)
    delays = clean.delays.clone()
    delays[5] += 30e-9
    delays[:, 5] += 30e-9
    pairs = pair_up(TravelTimes(RING, delays, WATER))
    grid = Grid.covering(40e-3, 2e-3)
    region = grid.disc(38e-3).numpy()
    matrix = rays.straight(pairs.positions[pairs.first], pairs.positions[pairs.second], region, grid)
    ends = np.stack([pairs.first, pairs.second], axis=1)
    problem = tomography.RayProblem(
        matrix, pairs.delays, ends, pairs.blocks, pairs.noise, region, grid.spacing
    )
    found = tomography.solve(problem, 4e-4).element_delays
    assert found.max() == pytest.approx(30e-9, rel=0.35)
    assert np.median(np.abs(found)) < 5e-9


@pytest.mark.parametrize("delay", [37.3, 52.8])
def test_onset_of_a_burst_in_noise(delay):
    samples = np.arange(120)
    lag = samples - delay
    burst = np.where(lag > 0, np.sin(2 * np.pi * lag / 12) * (1 - np.exp(-np.maximum(lag, 0) / 6)), 0.0)
    rng = np.random.default_rng(0)
    picks = [picking.onset(burst[:90] + 0.02 * rng.standard_normal(90)) for _ in range(20)]
    assert np.abs(np.median(picks) - delay) < 3, "a quarter of a period"
    assert np.std(picks) < 1.5
    assert np.isnan(picking.onset(rng.standard_normal(90)))


def test_picks_of_a_simulated_scan_give_its_delays():
    ring = TransducerArray.ring(16, 60e-3)
    rate, rng = 20e6, np.random.default_rng(0)
    moments = torch.arange(1800, dtype=torch.float64) / rate
    delays = 0.4e-6 * torch.sin(ring.opening_angles()) * (ring.opening_angles() > 1.5)

    def record(arrivals: torch.Tensor) -> Acquisition:
        lag = moments - arrivals[..., None]
        burst = torch.sin(2 * torch.pi * 1e6 * lag) * torch.exp(-((lag - 2e-6) ** 2) / 1e-12) * (lag > 0)
        noise = 0.005 * torch.from_numpy(rng.standard_normal(burst.shape))
        return Acquisition(ring, Traces.of(burst + noise, 0.0, rate), WATER)

    water = ring.distances() / WATER
    picked = picking.pick(record(water + delays), record(water))
    error = (picked.delays - delays)[picked.delays.isfinite()]
    assert picked.n_picks > 100
    assert float(error.abs().median()) < 20e-9
    alone = picking.pick(record(water + delays))
    assert float((alone.delays - delays)[alone.delays.isfinite()].abs().median()) < 150e-9


def test_a_start_for_waveforms_from_traces_alone():
    rate = 10e6
    moments = torch.arange(1000, dtype=torch.float64) / rate
    arrivals = RING.distances() / WATER + torch.from_numpy(4 * straight_delays(200))
    lag = moments - arrivals[..., None]
    burst = torch.sin(2 * torch.pi * 0.5e6 * lag) * torch.exp(-((lag - 3e-6) ** 2) / 4e-12) * (lag > 0)
    noise = 0.003 * torch.randn(burst.shape, generator=torch.Generator().manual_seed(3))
    scan = Acquisition(RING, Traces.of((burst + noise).float(), 0.0, rate), WATER)
    config = load_config(None, None, ["start.travel_times=true", "grid.image_spacing_mm=2"])
    observed = scan.spectra(torch.tensor([0.2e6, 0.4e6]))
    start = start_model(scan, config, observed, WATER)
    truth = 1 / (1 / WATER + 4 * lens(start.grid.points().numpy()))
    inside = start.grid.disc(WIDTH * 2, CENTRE).numpy()
    error = np.sqrt(np.mean((start.sound_speed.numpy() - truth)[inside] ** 2))
    assert error < 0.4 * np.sqrt(np.mean((WATER - truth)[inside] ** 2))
    with pytest.raises(InputError, match="spectra"):
        start_model(replace(scan, data=observed), config, observed, WATER)


def write(folder, **items):
    xy = RING.positions.numpy()[:, ::-1]
    content = {"delta_tof": times(20e-9).delays.numpy(), "element_positions": xy} | items
    path = folder / "tof.mat"
    scipy.io.savemat(path, {name: values for name, values in content.items() if values is not None})
    return path


def run(*words) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


def test_the_command_makes_an_image_and_says_how(tmp_path, capsys):
    path, output = write(tmp_path), tmp_path / "image.h5"
    words = ("--water-temperature", 20, "--set", "grid.image_spacing_mm=3", "-o", output)
    assert run("reconstruct", path, *words) == 0
    told = capsys.readouterr().out
    assert "Research use only" in told and "Picks" in told
    result = io.load(output)
    facts = result.provenance
    assert facts["method"] == "travel-time" and "ns rms" in facts["residual"]
    assert "weight" in facts["regularization"] and facts["water_sound_speed"].startswith("1482.3")
    assert (tmp_path / "image.png").exists()
    assert float(result.medium.sound_speed.max()) > 1495


@pytest.mark.parametrize(
    ("items", "options", "complaint"),
    [
        ({"element_positions": None}, (), "--positions"),
        ({"element_positions": RING.positions.numpy()[:20]}, (), "20 element positions"),
        ({"element_positions": 1e3 * RING.positions.numpy()}, (), "millimetres"),
        ({"delta_tof": 1e6 * times(0.0).delays.numpy()}, (), "microseconds"),
        ({"delta_tof": RING.distances().numpy() / WATER}, (), "water shot"),
        ({"delta_tof": np.full((64, 64), np.nan)}, (), "no travel time"),
        ({}, ("--water-temperature", 200), "temperature"),
        ({}, ("--method", "waveform"), "no waveforms"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, capsys, items, options, complaint):
    assert run("reconstruct", write(tmp_path, **items), "-o", tmp_path / "image.h5", *options) == 2
    told = capsys.readouterr().err
    assert complaint in told and len(told.strip().splitlines()) == 1
    assert not (tmp_path / "image.h5").exists()


def test_travel_times_come_back_from_a_native_file(tmp_path):
    made = replace(times(1e-8), title="lens", metadata={"a": "b"}, notes=("one note",))
    io.save(made, tmp_path / "times.h5")
    back = io.load(tmp_path / "times.h5")
    assert isinstance(back, TravelTimes)
    assert torch.equal(back.delays.nan_to_num(-1), made.delays.nan_to_num(-1))
    assert torch.equal(back.array.positions, made.array.positions)
    assert (back.water_sound_speed, back.title, back.metadata, back.notes) == (
        WATER,
        "lens",
        {"a": "b"},
        ("one note",),
    )
    assert io.holds_travel_times(tmp_path / "times.h5")


def test_measured_traces_are_picked():
    """Onsets of three published traces, in samples; the first has a faint wave ahead of the main one."""
    variables = scipy.io.loadmat(third_party("ust-sart/time_of_arrival_example_data.mat"))
    traces = {name: variables[name].ravel() for name in ("expA", "expB", "sim")}
    found = {name: picking.onset(trace) for name, trace in traces.items()}
    assert found["sim"] == pytest.approx(160.5, abs=1.5), "where it leaves zero"
    assert found["expB"] == pytest.approx(51, abs=4), "where the half cycle ahead of the main one begins"
    assert found["expA"] == pytest.approx(112, abs=3), (
        "the faint wave, whose amplitude is twenty times the noise"
    )
    # A correlation with the simulated pulse finds the main wave.
    assert picking.shift(traces["expA"], traces["sim"]) == pytest.approx(0, abs=1)


def test_dead_noisy_and_turned_channels_do_not_spoil_the_picks():
    """Wrong cycles of the planted faults are found by the other direction: left in, they were 540 ns of noise."""
    faults = planted.many_faults(0)
    scan, shot = (planted.record(faults, with_cylinder=thing, seed=n) for n, thing in ((0, True), (1, False)))
    picks = picking.pick(scan, shot)
    assert picks.n_picks > 0.65 * picks.delays.numel()
    latest = 2 * planted.CYLINDER_RADIUS * (1 / planted.WATER - 1 / planted.CYLINDER_SPEED)
    assert float(picks.delays.nan_to_num().abs().max()) < 1.5 * latest
    difference = (picks.delays - picks.delays.T)[(picks.delays + picks.delays.T).isfinite()]
    assert float(difference.square().mean().sqrt()) < 50e-9
    assert pair_up(picks).n_unlike + pair_up(picks).n_outlying < 20
    alone = picking.pick(
        replace(
            scan,
            array=replace(scan.array, transmits=scan.array.transmits[::2]),
            data=replace(scan.data, values=scan.data.values[::2], valid=scan.data.valid[::2]),
        )
    )
    assert alone.n_picks > 0.6 * alone.delays.numel()
