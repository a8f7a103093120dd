"""Plans: what arrays would see inside a medium, told from the linearised waves alone."""

import csv
import io as text_io
import json
import math
from dataclasses import replace

import pytest
import torch

from usct import io, phantom, planning
from usct.acquisition import TransducerArray
from usct.cli.app import main
from usct.diagnostics import forecast
from usct.diagnostics.resolution import width
from usct.errors import InputError
from usct.forward.helmholtz import Helmholtz
from usct.forward.known import KnownProperties
from usct.grid import Grid, low_pass
from usct.inversion.discretization import Discretization
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares
from usct.plan import Outlook, Plan
from usct.report.planning import verdict, write_plan

GRID = Grid.centred((65, 65), 1e-3)
SKULL = GRID.disc(22e-3) & ~GRID.disc(18e-3)
HEAD = Medium(
    GRID,
    torch.where(SKULL, 2500.0, torch.where(GRID.disc(18e-3), 1560.0, 1500.0)).double(),
    torch.where(SKULL, 150.0, 0.0).double(),
    torch.where(SKULL, 1800.0, 1000.0).double(),
)
WISHES = planning.Wishes((16, 32), (70e3, 100e3), radius=28e-3, snr_db=30.0)


@pytest.fixture(scope="module")
def made():
    return planning.plan(HEAD, WISHES, "a small head")


def test_more_elements_help_and_attenuation_costs(made):
    assert [(o.n_elements, o.attenuation, len(o.frequencies)) for o in made.outlooks] == [
        (n, loss, count) for n in (16, 32) for loss in (False, True) for count in (1, 1, 2)
    ]
    for loss in (False, True):
        few, many = (made.together(n, loss) for n in (16, 32))
        assert many.deviation < few.deviation < made.before < WISHES.contrast
        assert made.curve(32, loss)[0].determined > made.curve(16, loss)[0].determined
    for one in made.curve(32, True):
        bare = next(o for o in made.curve(32, False) if o.frequencies == one.frequencies)
        assert one.level < bare.level - 0.3
        assert one.determined < bare.determined
        assert one.deviation > bare.deviation
    low, high = made.curve(32, False)
    assert high.detail < low.detail
    assert made.together(32, True).deviation < min(o.deviation for o in made.curve(32, True))
    inner = math.pi * 18e-3**2
    assert made.area == pytest.approx(inner, rel=0.2)


def dense_outlook(
    medium: Medium, n_elements: int, frequencies: tuple[float, ...], cells_per_wavelength: float
):
    """The same by other matrices: all cells of finer grids, a prior without a band, the inversion's residuals.

    Returns detail in the middle [m], numbers determined and deviation [m/s].
    """
    array = TransducerArray.ring(n_elements, WISHES.radius)
    speeds = (1500.0, 2500.0)
    grid = Discretization(cells_per_wavelength, speeds).model(array, speeds, max(frequencies), 0.0).grid
    base = medium.resampled(grid)
    inside = (base.sound_speed > 1530) & grid.disc(18e-3)
    points = grid.points()[inside]
    prior = (WISHES.contrast / 1560) ** 2 * torch.exp(-torch.cdist(points, points) / WISHES.correlation)
    rows = []
    for frequency in frequencies:
        model = KnownProperties(Helmholtz(grid, array, speeds), base)
        waves = model.linearize(base, frequency, inside)
        plain = Helmholtz(grid, array, speeds).linearize(
            Medium.homogeneous(grid, 1500.0), frequency, ~inside & inside
        )
        across = array.opening_angles() >= 2 * math.pi / 3
        noise = float(plain.data[across].abs().square().mean()) * 10 ** (-0.1 * WISHES.snr_db)
        kept = array.opening_angles() >= WISHES.mute_angle
        residual = LeastSquares("transmit").residual(waves.data, waves.data, kept.double())
        squared = model.squared_slowness(base, frequency).reshape(-1)[waves.cells]
        every = [residual.apply(waves.apply(2 * squared * one))[kept] for one in torch.eye(len(points))]
        columns = torch.stack(every, dim=1) * math.sqrt(2 / noise)
        rows += [columns.real, columns.imag]
    jacobian = torch.cat(rows)
    told = jacobian @ prior
    seen = told @ jacobian.T
    gain = torch.linalg.solve(seen + torch.eye(len(seen)).double(), told).T  # from data to image
    number = int(points.norm(dim=1).argmin())
    spread = torch.zeros(grid.shape, dtype=torch.float64)
    spread[inside] = gain @ jacobian[:, number]
    detail = width(spread, grid, tuple(points[number].tolist()))
    determined = float(torch.trace(torch.linalg.solve(seen + torch.eye(len(seen)).double(), seen)))
    left = prior - gain @ told
    sampler = torch.linalg.cholesky(left + 1e-9 * prior[0, 0] * torch.eye(len(left)).double())
    images = torch.zeros(len(left), *grid.shape, dtype=torch.float64)
    images[:, inside] = sampler.T
    shown = torch.stack([low_pass(image, grid.spacing, math.pi / WISHES.size) for image in images])
    return detail, determined, 1560 * float(shown.square().sum(dim=0)[inside].mean().sqrt())


@pytest.mark.parametrize("frequencies", [(70e3,), (70e3, 100e3)])
def test_a_plan_is_what_dense_matrices_say(frequencies):
    """Within a tenth, on other grids: a skull of 4 mm is two cells thick."""
    lossless = replace(HEAD, attenuation=None)
    made = planning.plan(lossless, replace(WISHES, elements=(32,), frequencies=frequencies)).outlooks[-1]
    detail, determined, deviation = dense_outlook(lossless, 32, frequencies, 8.0)
    assert made.detail == pytest.approx(detail, rel=0.1)
    assert made.determined == pytest.approx(determined, rel=0.1)
    assert made.deviation == pytest.approx(deviation, rel=0.1)


def test_finer_grids_bring_a_plan_to_the_dense_matrices(monkeypatch):
    lossless = replace(HEAD, attenuation=None)
    monkeypatch.setattr(planning, "POINTS_PER_WAVELENGTH", 10.0)
    monkeypatch.setattr(planning, "BAND", 1.4)
    monkeypatch.setattr(planning, "PLACES_PER_SIZE", 6)
    made = planning.plan(lossless, replace(WISHES, elements=(32,), frequencies=(100e3,))).outlooks[-1]
    detail, determined, deviation = dense_outlook(lossless, 32, (100e3,), 10.0)
    assert made.determined == pytest.approx(determined, rel=0.02)
    assert made.detail == pytest.approx(detail, rel=0.05)
    assert made.deviation == pytest.approx(deviation, rel=0.05)


def test_signs_tell_the_trace(monkeypatch):
    few = replace(WISHES, elements=(16,), frequencies=(100e3,))
    exact = planning.plan(HEAD, few).outlooks[-1].determined
    monkeypatch.setattr(forecast, "FEW", 0)
    monkeypatch.setattr(forecast, "N_SIGNS", 500)
    assert planning.plan(HEAD, few).outlooks[-1].determined == pytest.approx(exact, rel=0.03)


def test_refusals():
    with pytest.raises(InputError, match="different numbers of 8 or more"):
        planning.Wishes(elements=(4,))
    with pytest.raises(InputError, match="above 0 Hz"):
        planning.Wishes(frequencies=())
    with pytest.raises(InputError, match="nothing in the medium differs"):
        planning.plan(Medium.homogeneous(GRID, 1500.0), WISHES)
    with pytest.raises(InputError, match="GB of the machine"):
        planning.plan(HEAD, planning.Wishes((24,), (80e3, 5e6), radius=28e-3))
    with pytest.raises(InputError, match="inside the object"):
        planning.plan(HEAD, planning.Wishes((24,), (80e3,), radius=20e-3))


def test_the_page_and_the_tables_hold_every_outlook(tmp_path):
    outlooks = [
        Outlook(n, (f,), loss, 80.0 / n * 1e-3, math.nan, 3.0 * n, 40.0 / n, -2.0, (1.0, 2.0))
        for n in (16, 32)
        for loss in (False, True)
        for f in (70e3, 100e3)
    ]
    places = ((0.0, 0.0), (0.0, 0.04))
    made = Plan("a head", 0.11, 30.0, 20.0, 5e-3, 8e-3, 15.0, places, places, 0.014, tuple(outlooks))
    write_plan(tmp_path / "plan.html", tmp_path / "plan.png", made)
    page = (tmp_path / "plan.html").read_text()
    assert page.count("<tr>") == 9 and "Research use only" in page and "Numbers determined" in page
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    rows = list(csv.DictReader(text_io.StringIO(made.as_csv())))
    assert len(facts["outlooks"]) == len(rows) == 8
    assert facts["outlooks"][0]["detail_near"] is None
    assert float(rows[0]["detail_m"]) == pytest.approx(5e-3)
    assert "32 elements" in verdict(made)[0] and "Without attenuation" in verdict(made)[1]


def test_a_cancelled_plan_leaves_what_it_had_found(tmp_path, monkeypatch):
    io.save(
        phantom.Phantom(HEAD, SKULL.short(), ("water", "skull"), "a small head", {}), tmp_path / "head.h5"
    )
    real = planning._sight

    def until_100_khz(medium, array, frequency, tables):
        if frequency > 90e3:
            raise KeyboardInterrupt
        return real(medium, array, frequency, tables)

    monkeypatch.setattr(planning, "_sight", until_100_khz)
    words = ["plan", str(tmp_path / "head.h5"), "--elements=16", "--frequencies-khz=70,100", "--radius-mm=28"]
    with pytest.raises(SystemExit) as left:
        main([*words, "-o", str(tmp_path / "plan")])
    assert left.value.code == 130
    (found,) = json.loads((tmp_path / "plan" / "plan.json").read_text())["outlooks"]
    assert found["frequencies"] == [70e3] and found["determined"] > 1
    assert "Research use only" in (tmp_path / "plan" / "plan.html").read_text()


@pytest.mark.parametrize("text", ["", "ring", "0:10:1:4", "50:200:0", "-5", "inf", "1:1000:1"])
def test_numbers_that_are_none(text, tmp_path, capsys):
    io.save(phantom.make("disk", spacing=2e-3), tmp_path / "disk.h5")
    with pytest.raises(SystemExit) as left:
        main(["plan", str(tmp_path / "disk.h5"), f"--frequencies-khz={text}", "-o", str(tmp_path / "plan")])
    assert left.value.code == 2
    assert "--frequencies-khz" in capsys.readouterr().err
    assert not (tmp_path / "plan" / "plan.json").exists()
