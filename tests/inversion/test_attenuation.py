"""Sound speed and attenuation together: exact derivatives, true values in lesions, and little crosstalk."""

import dataclasses

import pytest
import torch

from tests.helpers import relative_error
from usct import api
from usct.acquisition import Acquisition, TransducerArray
from usct.config import load_config
from usct.errors import InputError
from usct.evaluation import evaluate
from usct.forward.helmholtz import Helmholtz
from usct.grid import Grid
from usct.inversion.objective import Objective
from usct.inversion.schedule import Stage, continuation, with_attenuation
from usct.medium import Medium
from usct.misfit.selection import select
from usct.misfit.spectra import LeastSquares
from usct.parameterization.base import Parameterization
from usct.parameterization.lossy import SPAN, Lossy, companion, companion_bounds
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.siren import Siren
from usct.phantom import Phantom
from usct.units import attenuation_from_db, attenuation_to_db

IMAGE = Grid.covering(34e-3, 2e-3)
REGION = IMAGE.disc(32e-3)
LIMITS = (-5.0, 40.0)
LESIONS = {"both": (0.0, 13e-3), "speed": (-12e-3, -8e-3), "loss": (12e-3, -8e-3)}
SPEEDS = {"both": 1540.0, "speed": 1540.0, "loss": 1500.0}
LOSSES = {"both": 3.0, "speed": 1.0, "loss": 3.0}
"""Attenuation of lesions in tissue of 1 dB/cm at 1 MHz."""


def lossy(kind: str = "pixel", power: float = 1.0) -> Lossy:
    water, nothing = Medium.homogeneous(IMAGE, 1500.0), companion(Medium.homogeneous(IMAGE, 1500.0), LIMITS)
    made: list[Parameterization] = []
    for start, bounds in ((water, (1400.0, 1700.0)), (nothing, companion_bounds(LIMITS))):
        if kind == "pixel":
            made.append(PixelGrid(start, REGION, bounds))
        else:
            made.append(Siren(start, REGION, bounds, n_hidden=8, n_layers=1, dtype=torch.float64))
    return Lossy(made[0], made[1], LIMITS, power)


def in_lesion(name: str, grid: Grid, radius: float) -> torch.Tensor:
    return grid.disc(radius, LESIONS[name])


@pytest.fixture(scope="module")
def scan() -> Acquisition:
    """Lesions of 10 mm in a disc; other grids than an inversion's, 40 dB."""
    grid = Grid.covering(45e-3, 0.5e-3)
    body = grid.disc(26e-3)
    speed, loss = torch.where(body, 1500.0, 1480.0).double(), torch.where(body, 1.0, 0.0).double()
    for name in LESIONS:
        inside = in_lesion(name, grid, 5e-3)
        speed[inside], loss[inside] = SPEEDS[name], LOSSES[name]
    medium = Medium(grid, speed, attenuation_from_db(1.0) * loss)
    phantom = Phantom(medium, body.to(torch.int16), ("water", "tissue"))
    ring = TransducerArray.ring(64, 40e-3)
    return api.simulate(phantom, ring, (0.15e6, 0.22e6, 0.3e6), snr_db=40, seed=3)


@pytest.fixture(scope="module")
def results(scan):
    """Without and with attenuation, the rest alike."""
    return {
        invert: api.reconstruct(
            dataclasses.replace(scan, truth=None), load_config(None, None, [f"attenuation.invert={invert}"])
        )
        for invert in ("false", "true")
    }


@pytest.mark.parametrize("kind", ["pixel", "siren"])
@pytest.mark.parametrize("sought", ["sound_speed", "attenuation"])
def test_gradient_leaves_a_second_order_remainder(scan, kind, sought):
    spectra = scan.data.at(scan.data.frequencies[:1])
    model = Helmholtz(Grid.covering(45e-3, 2.4e-3), scan.array, (1450.0, 1580.0), 1480.0, 8)
    medium = lossy(kind, power=1.3)
    medium.seek(sought)
    observed = select(spectra, scan.array, 0.7, 0.0)
    objective = Objective([model], observed, LeastSquares("transmit"), medium)
    start = medium.vector()
    noise = torch.randn(len(start), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    point = objective.at(start + 1e-3 * noise)
    # Uphill and sideways alike, and no farther than a hundredth of the value.
    uphill = point.gradient / point.gradient.norm()
    direction = uphill + noise / noise.norm()
    direction *= 0.01 * point.value / float(point.gradient @ direction)
    steps = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    values = [objective.at(point.parameters + h * direction).value for h in steps.tolist()]
    change = torch.tensor(values, dtype=torch.float64) - point.value
    rest = (change - steps * float(point.gradient @ direction)).abs()
    orders = torch.log2(rest[:-1] / rest[1:])
    assert orders.tolist() == pytest.approx([2.0, 2.0], abs=0.15)


def test_lesions_have_their_attenuation_and_only_theirs(scan, results):
    """Means over lesions of 10 mm within a fifth; what is seen of sound speed alone is less than that."""
    medium, truth = results["true"].medium, scan.truth
    found = attenuation_to_db(1.0) * medium.resampled(truth.grid).attenuation
    for name in LESIONS:
        mean = float(found[in_lesion(name, truth.grid, 4e-3)].mean())
        assert mean == pytest.approx(
            LOSSES[name], abs=0.2 * LOSSES["both"] - (0.2 if name == "speed" else 0)
        ), name
    tissue = truth.grid.disc(22e-3)
    for name in LESIONS:
        tissue &= ~in_lesion(name, truth.grid, 8e-3)
    assert float(found[tissue].mean()) == pytest.approx(1.0, rel=0.2)
    scores = evaluate(medium, truth, highest_frequency=0.3e6)
    assert abs(scores.crosstalk) < 0.3
    assert scores.rmse_attenuation < 0.6 * float(found[tissue].mean()) * 0.3  # at 0.3 MHz


def test_sound_speed_gains_from_it(scan, results):
    """Loss that is not modelled is drawn into the sound speed; its detail beyond the waves' stays as it is."""
    without, along = (
        evaluate(r.medium, scan.truth, highest_frequency=0.3e6).rmse_resolved for r in results.values()
    )
    assert along < 0.9 * without
    assert results["true"].history[-1].objective < 0.5 * results["false"].history[-1].objective


def test_the_result_says_what_it_is(results):
    assert "relative" in results["true"].provenance["attenuation"]
    assert "attenuation" not in results["false"].provenance
    assert results["false"].medium.attenuation is None
    assert results["true"].field.name == "tailored"  # what made the sound speed
    assert any("attenuation" in record.stage for record in results["true"].history)


def test_it_can_be_diagnosed(scan, results):
    """At the end of the run, where the misfit must be that of the run, loss included."""
    found = api.diagnose(
        results["true"], scan, options=api.Options(n_modes=4, n_probes=2, n_steps=1, maps=False)
    )
    assert float(found.data_kernel.eigenvalues[0]) > 0


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, scan, results):
    config = load_config(None, None, ["attenuation.invert=true"])
    blind, whole = dataclasses.replace(scan, truth=None), results["true"]
    done = []

    def stop(_: object) -> None:
        done.append(1)
        if len(done) == 3:  # between two updates of the attenuation
            raise KeyboardInterrupt

    api.reconstruct(blind, config, stop, tmp_path / "checkpoint")
    resumed = api.reconstruct(blind, config, checkpoint=tmp_path / "checkpoint", resume=True)
    # To the bit on a quiet machine; once, in a long busy session, the last digits of single precision differed.
    assert relative_error(resumed.medium.attenuation, whole.medium.attenuation) < 1e-5
    assert relative_error(resumed.medium.sound_speed, whole.medium.sound_speed) < 1e-8


def test_networks_make_both(scan):
    """A few steps of Adam leave less unexplained with an attenuation than they do without."""
    settings = ["parameterization.name=siren", "schedule.frequencies_mhz=[0.15]", "schedule.iterations=2"]
    blind = dataclasses.replace(scan, truth=None)
    result = api.reconstruct(blind, load_config(None, None, [*settings, "attenuation.invert=true"]))
    before = [r for r in result.history if "attenuation" not in r.stage][1]
    assert result.history[-1].objective < 0.7 * before.objective
    assert float(result.medium.attenuation.max()) > attenuation_from_db(0.3)


@pytest.mark.parametrize("kind", ["pixel", "siren"])
def test_any_medium_is_fitted(kind):
    bump = torch.exp(-0.5 * (torch.linalg.vector_norm(IMAGE.points(), dim=-1) / 10e-3) ** 2)
    medium = Medium(IMAGE, 1500 + 40 * bump, 20 * bump - 1)
    with torch.no_grad():
        made = lossy(kind).fitted_to(medium)(IMAGE)
    assert relative_error(made.sound_speed[REGION], medium.sound_speed[REGION]) < 1e-6
    assert relative_error(made.attenuation[REGION], medium.attenuation[REGION]) < 1e-3
    assert float(made.attenuation[~REGION].abs().max()) < 1e-9 * LIMITS[1] / SPAN


def test_attenuation_follows_every_frequency():
    schedule = with_attenuation(continuation((1e5, 2e5), None, None, Stage((1.0,))))
    unknowns = [stage.unknown for stage in schedule]
    assert unknowns == ["sound_speed", "attenuation", "sound_speed", "attenuation", "sound_speed"]
    single = with_attenuation(continuation((1e5,), None, None, Stage((1.0,))))
    assert [stage.unknown for stage in single] == ["sound_speed", "sound_speed", "attenuation", "sound_speed"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: companion_bounds((1.0, 5.0)), "zero or little below"),
        (lambda: companion_bounds((-9.0, 5.0)), "zero or little below"),
        (lambda: Lossy(lossy().speed, lossy().speed, LIMITS), "bounds"),
        (lambda: lossy().speed.seek("attenuation"), "sound speed alone"),
    ],
)
def test_refuses_what_means_nothing(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("limits", ["[1, 2]", "[-3, 2]", "[-0.5, inf]", "[-0.5, nan]"])
def test_settings_out_of_range_are_refused(limits):
    with pytest.raises(InputError, match=r"attenuation\.bounds_db_per_cm"):
        load_config(None, None, [f"attenuation.bounds_db_per_cm={limits}"])
