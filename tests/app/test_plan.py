"""Plans: what arrays would see inside a medium, told from the linearised waves alone."""

import csv
import io as text_io
import json
import math

import pytest
import torch

from usct import io, phantom, planning
from usct.cli.app import main
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
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


def test_refusals():
    with pytest.raises(InputError, match="different numbers of 8 or more"):
        planning.Wishes(elements=(4,))
    with pytest.raises(InputError, match="above 0 Hz"):
        planning.Wishes(frequencies=())
    with pytest.raises(InputError, match="nothing in the medium differs"):
        planning.plan(Medium.homogeneous(GRID, 1500.0), WISHES)
    with pytest.raises(InputError, match="inside the object"):
        planning.plan(HEAD, planning.Wishes((24,), (80e3,), radius=20e-3))


def test_the_page_and_the_tables_hold_every_outlook(tmp_path):
    outlooks = [
        Outlook(n, (f,), loss, 80.0 / n * 1e-3, math.nan, 3.0 * n, 40.0 / n, -2.0)
        for n in (16, 32)
        for loss in (False, True)
        for f in (70e3, 100e3)
    ]
    places = ((0.0, 0.0), (0.0, 0.04))
    made = Plan("a head", 0.11, 30.0, 20.0, 5e-3, 8e-3, 15.0, places, 0.014, tuple(outlooks))
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


@pytest.mark.parametrize("text", ["", "ring", "0:10:1:4", "50:200:0", "-5", "inf", "1:1000:1"])
def test_numbers_that_are_none(text, tmp_path, capsys):
    io.save(phantom.make("disk", spacing=2e-3), tmp_path / "disk.h5")
    with pytest.raises(SystemExit) as left:
        main(["plan", str(tmp_path / "disk.h5"), f"--frequencies-khz={text}", "-o", str(tmp_path / "plan")])
    assert left.value.code == 2
    assert "--frequencies-khz" in capsys.readouterr().err
    assert not (tmp_path / "plan" / "plan.json").exists()
