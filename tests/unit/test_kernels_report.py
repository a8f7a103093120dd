"""The page about what the data support, its sentences, and the page of kernels side by side."""

import dataclasses
import io
import json
import math
import re

import pytest
import torch

from tests.diagnosis_cases import LIMIT, make_diagnosis
from usct.diagnosis import Diagnosis, Portrait, Portraits
from usct.diagnostics.sentences import summary
from usct.reconstruction import RESEARCH_USE_ONLY

pytest.importorskip("matplotlib", reason="figures need matplotlib")
from matplotlib.image import imread  # noqa: E402 - after the check above

from usct.report.drawing import png  # noqa: E402
from usct.report.kernel_comparison import portraits_page, verdict, write_portraits  # noqa: E402
from usct.report.kernels import kernels_figure, panels  # noqa: E402


def changed(part: str, **values: object) -> Diagnosis:
    """A diagnosis with one part other than usual."""
    diagnosis = make_diagnosis()
    return dataclasses.replace(diagnosis, **{part: dataclasses.replace(getattr(diagnosis, part), **values)})


def words(diagnosis: Diagnosis) -> str:
    return " ".join(summary(diagnosis, "Stop here: 90 % of the recoverable residual is gone.").summary)


def texts(figure) -> str:
    own = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return " ".join(own)


def test_the_figure_says_in_plain_words_what_is_where():
    figure = kernels_figure(make_diagnosis(), "result.h5")
    text = texts(figure)
    for phrase in ("What the data support: result.h5", "How fine", "How sure", "NSK", "WTK", "434 numbers"):
        assert phrase in text
    assert "Detail finer than 2.5 mm is not supported at 40 dB." in text
    assert (
        "End of the run, 300 kHz, noise and model errors 40 dB below the data; pixel, 1353 parameters" in text
    )
    assert RESEARCH_USE_ONLY in text


def test_nothing_sticks_out_of_the_figure_and_the_summary_overlaps_nothing():
    long = tuple(f"Sentence {n} " + "is rather long and goes on and on " * 6 for n in range(6))
    figure = kernels_figure(dataclasses.replace(make_diagnosis(), summary=long), "x" * 60)
    image = imread(io.BytesIO(png(figure)))
    assert image.shape[1] == 1920
    box = next(text for text in figure.texts if text.get_text().startswith("•"))
    renderer = figure.canvas.get_renderer()
    axes = [ax for part in figure.subfigs for ax in part.axes if ax.get_visible()]
    below = max(ax.get_tightbbox(renderer).y1 for ax in axes)
    assert box.get_window_extent(renderer).y0 > below
    assert box.get_window_extent(renderer).x1 < figure.bbox.x1


def test_every_strip_is_a_picture_of_its_own():
    figures = panels(make_diagnosis())
    assert set(figures) == {"maps", "patterns", "rows", "curves", "drift", "data"}
    assert all(png(figure).startswith(b"\x89PNG") for figure in figures.values())
    assert "Patterns of the data (WTK modes) at 300 kHz" in texts(figures["data"])


def test_curves_show_the_numbers_that_were_found():
    diagnosis = make_diagnosis()
    axes = [ax for part in kernels_figure(diagnosis).subfigs for ax in part.axes]
    spectrum = next(ax for ax in axes if "WTK" in ax.get_title())
    drawn = {line.get_label(): line for line in spectrum.lines}
    found = torch.as_tensor(drawn["found one by one"].get_ydata())
    torch.testing.assert_close(found, diagnosis.data_kernel.eigenvalues, rtol=0, atol=0)
    # The k-th of a thousand eigenvalues stands where its rank says, each node for twenty; 433.5 are determined.
    ranks = torch.as_tensor(drawn["the others, estimated"].get_xdata())
    assert ranks.tolist() == [20 * n - 10 for n in range(2, 23)]
    decay = next(ax for ax in axes if "theory" in ax.get_title())
    strongest = diagnosis.data_kernel.energy.argsort(descending=True)[:5].sort().values
    predicted = torch.stack([torch.as_tensor(line.get_ydata()) for line in decay.lines[::2]])
    torch.testing.assert_close(predicted, diagnosis.decay.predicted[:, strongest].T, rtol=0, atol=0)


def test_the_drift_is_drawn_and_told_where_the_run_was_followed():
    diagnosis = make_diagnosis()
    axes = [ax for part in kernels_figure(diagnosis).subfigs for ax in part.axes]
    drawn = next(ax for ax in axes if "moved along the run" in ax.get_title()).lines[0]
    assert drawn.get_xdata().tolist() == [0, 2, 5, 9]
    assert drawn.get_ydata().tolist() == pytest.approx([0, 10, 25, 20])
    told = (
        "moved by up to 25 % (after update 5): by 12 % for what the representation grants alone, by 19 % for"
    )
    assert told in words(diagnosis)
    without = dataclasses.replace(diagnosis, drift=None)
    assert "moved along" not in texts(kernels_figure(without))
    assert "Along the run" not in words(without)


def test_what_was_not_looked_for_is_said_to_be_missing():
    less = dataclasses.replace(make_diagnosis(), decay=None, resolution=None, standard_deviation=None)
    text = texts(kernels_figure(less))
    assert "no steps were tried" in text
    assert text.count("was not mapped") == 2
    assert "Detail finer" not in words(less)
    assert "Theory" not in words(less)


def test_sentences_tell_the_typical_place_and_the_worst():
    diagnosis = make_diagnosis()
    inside = diagnosis.resolution[diagnosis.region]
    text = words(diagnosis)
    assert f"Detail finer than {1e3 * float(inside.quantile(0.5)):.2g} mm is not supported at 300 kHz" in text
    assert (
        f"from {1e3 * float(inside.quantile(0.05)):.2g} to {1e3 * float(inside.quantile(0.95)):.2g} mm"
        in text
    )
    worst = float(diagnosis.standard_deviation[diagnosis.region].quantile(0.95))
    assert f"{worst:.2g} m/s at the worst places" in text
    assert "Stop here: 90 % of the recoverable residual is gone." in text


@pytest.mark.parametrize(
    ("count", "n_parameters", "expected"),
    [
        (434.0, 1353, "434 numbers of the 1353 that make the image; the others are as they were assumed"),
        (434.0, 500, "nearly as many as the 500 that make the image: a richer one would show more"),
        (2000.0, 90_000, "2000 numbers, nearly all that so few data can: more elements would show more"),
    ],
)
def test_what_limits_the_image_is_named(count, n_parameters, expected):
    diagnosis = changed("data_kernel", degrees_of_freedom=count)
    assert expected in words(dataclasses.replace(diagnosis, n_parameters=n_parameters))


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.03, "Theory holds here"), (0.2, "Theory holds roughly"), (0.9, "Theory does not hold here")],
)
def test_the_theory_is_judged_by_what_was_tried(error, expected):
    text = words(dataclasses.replace(changed("decay", error=error), drift=None))
    assert expected in text
    assert f"within {100 * error:.0f} %" in text
    assert "the kernel has changed by 12 %" in text
    assert "Since the start" not in words(dataclasses.replace(changed("decay", drift=math.nan), drift=None))


def test_a_representation_that_closes_early_is_called_slow_there():
    waves = make_diagnosis().image_kernel.wavenumbers
    closed = changed("image_kernel", representation=torch.where(waves < 0.3 * LIMIT, 1.0, 1e-3).double())
    (half_wave,) = re.findall(r"slow to make detail finer than ([\d.]+) mm", words(closed))
    assert float(half_wave) == pytest.approx(1e3 * math.pi / (0.3 * LIMIT), rel=0.15)
    assert "slow to make" not in words(changed("image_kernel", representation=torch.ones(30).double()))


def test_maps_that_had_not_settled_are_called_rough():
    told = summary(make_diagnosis(), "Go on.", 0.4).summary
    assert any("still changed by 40 % when the search for them was broken off" in text for text in told)
    assert "broken off" not in words(make_diagnosis())


def test_the_constant_and_the_bias_are_told_where_they_matter():
    assert "constant" not in words(make_diagnosis())
    assert "34 % of the kernel goes to" in words(changed("data_kernel", constant_share=0.34))
    two = changed("data_kernel", frequency_bias=torch.tensor([0.3, 0.9]).double())
    two = dataclasses.replace(two, frequencies=(3e5, 1e5))
    assert "the lowest frequency acts 3 times as strongly as the highest" in words(two)


def make_portraits() -> Portraits:
    diagnosis = make_diagnosis()
    flat, image = diagnosis.data_kernel, diagnosis.image_kernel
    rank = torch.arange(1, 13, dtype=torch.float64)
    steep = dataclasses.replace(
        flat, eigenvalues=rank**-2.0, nodes=torch.arange(1, 51).double() ** -2.0, decay_exponent=2.0
    )
    return Portraits(
        "<b>.h5",
        (3e5,),
        (
            Portrait("pixel", 1353, "plain gradient steps", "", flat, image),
            Portrait(
                "siren", 5000, "Adam's steps", "", dataclasses.replace(steep, constant_share=0.34), image
            ),
            Portrait("hybrid", message="no room for it"),
        ),
    )


def test_the_page_of_kernels_stands_alone_and_names_all(tmp_path):
    write_portraits(tmp_path / "kernels.html", tmp_path / "kernels.png", make_portraits())
    page = (tmp_path / "kernels.html").read_text(encoding="utf-8")
    assert page == portraits_page(make_portraits())
    assert not re.search(r"https?://|<script|<link|@import|<b>\.h5", page)
    rows = re.findall(r"<tr>(<td>.*?)</tr>", page)
    assert [re.findall(r"<td>(.*?)</td>", row)[:4] for row in rows] == [
        ["pixel", "1353", "plain gradient", "434"],
        ["siren", "5000", "Adam", "434"],
    ]
    assert "<dt>hybrid</dt><dd>no room for it</dd>" in page
    assert RESEARCH_USE_ONLY in page
    assert (tmp_path / "kernels.png").read_bytes()[1:4] == b"PNG"


def test_the_verdict_tells_even_from_one_after_another():
    text = " ".join(verdict(make_portraits()))
    assert "slowest for pixel (as number^-0.5)" in text
    assert "fastest for siren (as number^-2)" in text
    assert "for siren (34 %)" in text
    assert verdict(Portraits("s", (), (Portrait("pixel", message="x"),))) == ()


def test_json_holds_finite_numbers_alone():
    made = make_portraits()
    broken = dataclasses.replace(made.portraits[0].data_kernel, trace=math.inf)
    made = dataclasses.replace(
        made, portraits=(dataclasses.replace(made.portraits[0], data_kernel=broken), *made.portraits[1:])
    )
    facts = json.loads(json.dumps(made.as_dict(), allow_nan=False))["representations"]
    assert facts["pixel"]["trace"] is None
    assert facts["hybrid"]["message"] == "no room for it"
    assert facts["siren"]["eigenvalues"] == pytest.approx([n**-2.0 for n in range(1, 13)])
