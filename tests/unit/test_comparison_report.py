"""The page of a comparison: what it says, marks and shows, and that names cannot break it."""

import dataclasses
import json
import math
import re

import pytest
import torch

from usct.evaluation import evaluate
from usct.evaluation.spots import Spot, find_spots
from usct.evaluation.trials import Comparison, Mark, Trial
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import RESEARCH_USE_ONLY

pytest.importorskip("matplotlib", reason="figures need matplotlib")
from usct.report import comparison_curves, comparison_figures, drawing  # noqa: E402 - after the check above
from usct.report.comparison import comparison_page, verdict, write_comparison  # noqa: E402

GRID = Grid.centred((41, 41), 2e-3)
CYST = GRID.disc(5e-3, (8e-3, -6e-3))
TISSUE = GRID.disc(30e-3)


def make_phantom() -> Phantom:
    speed = torch.where(TISSUE, 1440.0, 1480.0).double()
    labels = TISSUE.to(torch.int16) + CYST.to(torch.int16)
    return Phantom(Medium(GRID, torch.where(CYST, 1540.0, speed)), labels, ("water", "fat", "cyst"))


TRUTH = make_phantom().medium
START = Medium.homogeneous(GRID, 1480.0)


def make_trial(name: str, errors: tuple[float, ...], seconds: float = 1.0) -> Trial:
    """A run whose image is the truth plus the last error, where that is finite, everywhere."""
    marks = tuple(
        Mark(2 * n, seconds * n, 1e5 * (1 + n // 3), 0.5 / n, error, 0.9 * error)
        for n, error in enumerate(errors, 1)
    )
    image = Medium(GRID, TRUTH.sound_speed + (errors[-1] if math.isfinite(errors[-1]) else 0.0))
    return Trial(name, "finished", "Done.", "gauss-newton", 12345, 40.0, marks, evaluate(image, TRUTH), image)


def make_comparison(*trials: Trial, start_rmse: float = 40.0) -> Comparison:
    return Comparison("scan.h5", 10, TRUTH, START, start_rmse, trials, find_spots(make_phantom()))


def three() -> Comparison:
    return make_comparison(
        make_trial("pixel", (30.0, 20.0, 9.0, 8.5), seconds=1.0),
        make_trial("tailored", (20.0, 7.0, 6.0, 5.0), seconds=3.0),
        make_trial("siren:adam", (39.0, 35.0, 30.0, 25.0)),
    )


def titles(figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def rows_of(page: str) -> list[list[str]]:
    body = re.search(r"<tbody>(.*?)</tbody>", page, re.DOTALL).group(1)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>") if "<td" in row]


def test_the_verdict_names_the_most_accurate_and_who_came_near_first():
    # Nine tenths of the way from 40 to 5 is 8.5 m/s: pixel is there after 8 factorisations and 4 s, tailored
    # after 4 factorisations and 6 s.
    first, near = verdict(three())
    assert first == "Tailored ends with the lowest error, 5.00 m/s."
    assert "below 8.5 m/s" in near
    assert "by work tailored, after 4 factorisations" in near
    assert "by the clock pixel, after 4.0 s" in near


def test_the_verdict_calls_near_equals_level_and_owns_to_harm():
    made = make_comparison(
        make_trial("pixel", (5.05,)), make_trial("tailored", (5.0,)), make_trial("hybrid", (41.0,))
    )
    text = " ".join(verdict(made))
    assert "level: pixel." in text
    assert "Further from the truth than the start ended: hybrid." in text


def test_the_verdict_claims_no_winner_where_there_is_none():
    assert "None came closer" in verdict(make_comparison(make_trial("pixel", (41.0,))))[0]
    failed = Trial("pixel", "failed", "the grid is too large")
    assert verdict(make_comparison(failed)) == ("No run gave an image that could be scored.",)


def test_the_table_marks_the_best_of_each_score_and_no_other():
    page = comparison_page(three())
    rows = rows_of(page)
    assert [row[0] for row in rows] == ["pixel", "tailored", "siren:adam"]
    assert rows[1][3:7] == ["8", "12.0", "5.00", "4.50"]
    best = re.findall(r'<td class="best">(.*?)</td>', page)
    ssim = max(f"{trial.scores.ssim:.3f}" for trial in three().trials)
    assert best == ["5.00", "4.50", ssim]


def test_the_page_stands_alone_and_escapes_names():
    name = "<script>alert(1)</script>"
    broken = Trial(name, "failed", "x < y & z $\\frac{$")
    made = dataclasses.replace(three(), trials=(*three().trials, broken), scan="<b>.h5")
    page = comparison_page(made)
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?://|<script|<link|@import|<b>\.h5", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "x &lt; y &amp; z" in page
    assert RESEARCH_USE_ONLY in page
    assert page.count("data:image/png;base64,") == 3


def test_a_failed_run_is_named_with_its_reason_in_table_and_picture():
    made = dataclasses.replace(
        three(), trials=(*three().trials, Trial("fourier", "failed", "no room for it"))
    )
    page = comparison_page(made)
    assert rows_of(page)[3][-1] == "failed"
    assert "no room for it" in page
    panel = next(
        ax for ax in comparison_figures.images_figure(made).axes if ax.get_title() == "fourier\nno image"
    )
    assert panel.texts[0].get_text() == "no room for it"


def test_the_picture_shows_every_image_in_one_window():
    figure = comparison_figures.images_figure(three())
    assert [title.split("\n")[0] for title in titles(figure)] == [
        "Truth",
        "Start",
        "pixel",
        "tailored",
        "siren:adam",
    ]
    shown = [ax.images[0] for ax in figure.axes if ax.images]
    assert {image.get_clim() for image in shown if image.get_cmap().name == "gray"} == {(1400.0, 1600.0)}
    assert "RMSE 8.5 m/s" in titles(figure)[2]


def test_curves_begin_at_the_start_and_break_where_the_frequency_changes():
    made = three()
    figure = comparison_figures.curves_figure(made)
    by_solves, by_seconds, residual = figure.axes[:3]
    assert by_solves.lines[1].get_xdata().tolist() == [0, 2, 4, 6, 8]
    assert by_solves.lines[1].get_ydata().tolist() == [40, 20, 7, 6, 5]
    assert by_seconds.lines[1].get_xdata().tolist() == [0, 3, 6, 9, 12]
    assert [line.get_xdata().tolist() for line in residual.lines[:2]] == [[2, 4], [6, 8]]
    assert {text.get_text() for text in by_solves.texts} >= {"pixel  8.5", "tailored  5.0"}
    styles = {(line.get_color(), line.get_linestyle()) for line in by_solves.lines[:3]}
    assert len(styles) == 3


@pytest.mark.parametrize("wanted", [[0.5] * 7, [0.0, 0.01, 0.99, 1.0, 1.0], [0.2, 0.9], []])
def test_labels_keep_apart_inside_the_axes(wanted):
    placed = comparison_curves.spread(wanted, 0.1)
    ordered = sorted(placed)
    assert all(b - a >= 0.1 - 1e-12 for a, b in zip(ordered, ordered[1:], strict=False))
    assert all(height <= 1 for height in placed)
    assert sorted(range(len(wanted)), key=wanted.__getitem__) == sorted(
        range(len(placed)), key=placed.__getitem__
    )


def test_labels_of_lines_that_end_together_stand_about_their_end():
    assert comparison_curves.spread([0.5, 0.5, 0.5, 0.9], 0.1) == pytest.approx([0.4, 0.5, 0.6, 0.9])
    assert comparison_curves.spread([0.0, 0.02], 0.1) == pytest.approx([0.0, 0.1])


def test_close_ups_show_the_lesion_and_its_local_error():
    figure = comparison_figures.close_ups_figure(three())
    assert titles(figure) == ["Truth", "pixel", "tailored", "siren:adam"]
    truth, pixel = figure.axes[:2]
    # Five radii of a disc of 5 mm would be 25 mm; twice 2.2 of them are 22, but 8 cells each way are 32.
    assert truth.get_xlim() == pytest.approx((-22, 10), abs=0.6)
    assert truth.get_ylim() == pytest.approx((24, -8), abs=0.6)
    assert pixel.get_xlabel() == "RMSE 8.5 m/s"


def test_anything_can_be_drawn(tmp_path):
    nothing = dataclasses.replace(
        make_comparison(Trial("pixel", "cancelled", "Cancelled.")),
        start=None,
        start_rmse=math.nan,
        spots=(),
        scan="",
    )
    broken = make_trial("hybrid", (20.0, math.nan))
    for number, made in enumerate((nothing, make_comparison(broken))):
        page, picture = tmp_path / f"{number}.html", tmp_path / f"{number}.png"
        write_comparison(page, picture, made)
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert RESEARCH_USE_ONLY in page.read_text(encoding="utf-8")


def test_png_is_reproducible():
    first, second = (drawing.png(comparison_figures.comparison_figure(three(), "t", "c")) for _ in range(2))
    assert first == second


def test_json_holds_finite_numbers_alone():
    made = make_comparison(make_trial("pixel", (20.0, math.inf)), Trial("siren", "failed", "why"))
    made = dataclasses.replace(made, start_rmse=math.nan)
    text = json.dumps(made.as_dict(), allow_nan=False)
    facts = json.loads(text)
    assert facts["start_rmse"] is None
    assert facts["representations"]["pixel"]["rmse"] == [20.0, None]
    assert facts["representations"]["siren"] == {
        **{key: [] for key in ("solves", "seconds", "frequency", "residual", "rmse", "rmse_resolved")},
        "ssim": None,
        "start_rmse": None,
        "n_parameters": None,
        "optimizer": None,
        "status": "failed",
        "message": "why",
    }


def test_lesions_come_from_the_labels_one_of_each_kind_first():
    large, small = GRID.disc(6.5e-3, (10e-3, 10e-3)), GRID.disc(4.7e-3, (-12e-3, 0.0))
    target = GRID.disc(3.1e-3, (10e-3, -14e-3))
    labels = TISSUE.to(torch.int16)
    labels[large | small] = 2
    labels[target] = 3
    phantom = Phantom(TRUTH, labels, ("water", "fat", "cyst", "malignant"))
    spots = find_spots(phantom)
    assert [spot.name for spot in spots] == ["cyst", "malignant", "cyst"]
    assert [spot.centre for spot in spots] == [
        pytest.approx(place, abs=1e-9) for place in ((10e-3, 10e-3), (10e-3, -14e-3), (-12e-3, 0.0))
    ]
    assert torch.equal(spots[0].outline, large)
    assert len(find_spots(phantom, most=1)) == 1


def test_without_labels_the_largest_departure_is_found():
    spot = find_spots(TRUTH)[0]
    assert isinstance(spot, Spot)
    assert spot.outline is None
    assert spot.centre == pytest.approx((8e-3, -6e-3), abs=2e-3)


def test_nothing_stands_out_of_water_or_of_a_volume():
    assert find_spots(START) == ()
    volume = Medium(Grid.centred((9, 9, 9), 1e-3), torch.rand(9, 9, 9, dtype=torch.float64) + 1500)
    assert find_spots(volume) == ()
