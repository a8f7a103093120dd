"""Figures and pages: what they show, that they stand alone, and that they leave nothing behind."""

import dataclasses
import math
import re
import struct

import pytest
import torch

from usct.errors import InputError
from usct.evaluation import evaluate
from usct.grid import Grid
from usct.medium import Medium
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction, Record, Status

pytest.importorskip("matplotlib", reason="figures need matplotlib")
from usct.report import drawing, figures, html  # noqa: E402 - after the check above

GRID = Grid.centred((41, 41), 2e-3)


def make_truth(inside: float = 1540.0, grid: Grid = GRID) -> Medium:
    return Medium(grid, torch.where(grid.disc(25e-3), inside, 1480.0).double())


def make_history(n_stages: int = 3, n_iterations: int = 4) -> tuple[Record, ...]:
    records = []
    for stage in range(n_stages):
        for iteration in range(n_iterations):
            number = len(records) + 1
            frequency = 2e5 + 5e4 * stage
            objective = 0.3 * math.exp(-0.5 * iteration)
            records.append(
                Record(
                    f"stage {stage + 1}", frequency, number, objective, 3.0, 1e-12, 2 * number, 1.5 * number
                )
            )
    return tuple(records)


def make_result(truth: Medium, history: tuple[Record, ...] | None = None) -> Reconstruction:
    grid = Grid.centred(tuple(n + 2 for n in truth.grid.shape), truth.grid.spacing)
    image = truth.resampled(grid)
    return Reconstruction(
        medium=Medium(grid, image.sound_speed + 3.0),
        start=Medium.homogeneous(grid, 1480.0),
        region=torch.ones(grid.shape, dtype=torch.bool),
        history=make_history() if history is None else history,
        status=Status.FINISHED,
        message="All 3 stages were completed in 18 s.",
        provenance={"usct": "0.1.0", "config": "[schedule]\nfrequencies = [1]", "title": "<b>bold</b>"},
    )


def titles(figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_figure_without_truth_shows_start_and_image_only():
    figure = figures.reconstruction_figure(make_result(make_truth()))
    assert titles(figure) == ["Start", "Reconstruction", "Profile at y = 0 mm", "Convergence"]


def test_figure_with_truth_shows_the_error_and_the_units():
    truth = make_truth()
    figure = figures.reconstruction_figure(make_result(truth), truth, "scan 7")
    assert titles(figure)[:4] == ["Start", "Reconstruction", "Truth", "Error"]
    labels = {ax.get_xlabel() for ax in figure.axes} | {ax.get_ylabel() for ax in figure.axes}
    assert {"x [mm]", "y [mm]", "Sound speed [m/s]", "Reconstruction − truth [m/s]"} <= labels
    text = {item.get_text() for item in figure.texts}
    assert {"scan 7", RESEARCH_USE_ONLY} <= text


def test_error_panel_shows_image_minus_truth():
    truth = make_truth()
    figure = figures.reconstruction_figure(make_result(truth), truth)
    error = next(ax for ax in figure.axes if ax.get_title() == "Error").images[0]
    assert error.get_clim() == (-50, 50)
    assert error.get_array().mean() == pytest.approx(3.0, abs=1e-6)


def test_pixels_lie_where_the_grid_says():
    grid = Grid((11, 21), 1e-3, (5e-3, -7e-3))
    medium = Medium.homogeneous(grid, 1500.0)
    result = dataclasses.replace(make_result(make_truth()), medium=medium, start=medium)
    image = next(
        ax for ax in figures.reconstruction_figure(result).axes if ax.get_title() == "Reconstruction"
    )
    assert image.images[0].get_extent() == pytest.approx((-7.5, 13.5, 15.5, 4.5))


@pytest.mark.parametrize(
    ("inside", "window"), [(1540, (1400, 1600)), (1700, (1300, 1800)), (2800, (1480, 1640))]
)
def test_window_is_one_of_the_fixed_ones(inside, window):
    figure = figures.reconstruction_figure(make_result(make_truth(inside)))
    image = next(ax for ax in figure.axes if ax.get_title() == "Reconstruction").images[0]
    assert image.get_clim() == window


@pytest.mark.parametrize("history", [(), make_history(1, 1), make_history(18, 1)])
def test_any_history_can_be_drawn(history):
    figure = figures.reconstruction_figure(make_result(make_truth(), history))
    assert drawing.png(figure).startswith(b"\x89PNG")


def test_history_with_values_that_are_not_finite_can_be_drawn():
    history = make_history(1, 3)
    broken = (*history[:-1], dataclasses.replace(history[-1], objective=math.nan))
    assert drawing.png(figures.reconstruction_figure(make_result(make_truth(), broken)))


def test_volume_shows_its_middle_slice():
    truth = make_truth(grid=Grid.centred((13, 15, 17), 5e-3))
    figure = figures.reconstruction_figure(make_result(truth), truth)
    image = next(ax for ax in figure.axes if ax.get_title() == "Truth").images[0]
    assert image.get_array().shape == (15, 17)


def test_png_is_reproducible_and_large_enough_to_read():
    result = make_result(make_truth())
    first, second = (drawing.png(figures.reconstruction_figure(result)) for _ in range(2))
    assert first == second
    width, height = struct.unpack(">II", first[16:24])
    assert width >= 1200
    assert height >= 900


def test_figure_belongs_to_no_window():
    assert figures.reconstruction_figure(make_result(make_truth())).canvas.manager is None


def test_page_stands_alone_and_tells_what_matters(tmp_path):
    truth = make_truth()
    result = make_result(truth)
    scores = evaluate(result.medium, truth, result.start)
    path = tmp_path / "report.html"
    html.write_report(path, result, truth, scores, "result.h5")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?://|<script|<link|@import", text)
    assert f"{scores.rmse:.2f} m/s" in text
    assert RESEARCH_USE_ONLY in text
    assert result.message in text
    assert text.count("<tr><td>") == len(result.history)
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<pre>[schedule]\nfrequencies = [1]</pre>" in text


def test_page_without_truth_says_so():
    assert "No truth was given" in html.page(make_result(make_truth()))


def test_report_refuses_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        html.write_report(tmp_path / "nowhere" / "report.html", make_result(make_truth()))
