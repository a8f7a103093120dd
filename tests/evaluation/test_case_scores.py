"""Scores of tissues, lesions, resolution and detection on media whose answers are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from tests.evaluation.cases import GRID, TISSUES, blurred, make_phantom, make_result
from usct.evaluation import evaluate_case, object_mask
from usct.evaluation.density import Density
from usct.evaluation.lesions import score_lesions
from usct.evaluation.observer import channels, hotelling, look
from usct.evaluation.resolution import edge_spread, mtf_half, ring_correlation
from usct.evaluation.skipping import chord_integrals, skipped_share
from usct.evaluation.tissues import score_depths, score_tissues

RNG = np.random.default_rng(5)


def speeds(phantom):
    return phantom.medium.sound_speed.double().numpy()


def test_tissues_are_scored_by_their_labels():
    phantom = make_phantom(0)
    truth, labels = speeds(phantom), phantom.labels.numpy()
    inside = object_mask(phantom.medium).numpy()
    image = truth + np.where(labels == 2, 4.0, -1.0) + RNG.normal(size=truth.shape)
    for part in score_tissues(image, phantom, inside):
        errors = [
            image[i] - truth[i]
            for i in np.ndindex(truth.shape)
            if inside[i] and phantom.tissues[labels[i]] == part.name
        ]
        assert part.n_cells == len(errors)
        assert part.bias == pytest.approx(sum(errors) / len(errors))
        assert part.mae == pytest.approx(sum(map(abs, errors)) / len(errors))
        assert part.rmse == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)))
        assert part.rmse >= part.mae >= abs(part.bias)
    layers = score_depths(image, truth, inside, GRID.spacing)
    assert sum(layer.n_cells for layer in layers) == inside.sum()


def test_a_perfect_image_recovers_every_lesion():
    phantom = make_phantom(1)
    for lesion in score_lesions(speeds(phantom), phantom):
        assert lesion.recovery == pytest.approx(1)
        assert lesion.centroid_error < 0.5 * GRID.spacing
        assert lesion.measured_diameter == pytest.approx(lesion.diameter, rel=0.05)
        assert lesion.dice > 0.95


def test_lesions_of_a_scaled_and_a_shifted_image():
    phantom = make_phantom(1)
    truth = speeds(phantom)
    (lesion,) = score_lesions(1500 + 0.6 * (truth - 1500), phantom)
    assert lesion.recovery == pytest.approx(0.6)
    (lesion,) = score_lesions(np.roll(truth, 2, axis=1), phantom)
    assert lesion.centroid_error == pytest.approx(2 * GRID.spacing, rel=0.1)
    assert lesion.dice < 0.9
    noisy = truth + RNG.normal(0, 5.0, truth.shape)
    (lesion,) = score_lesions(noisy, phantom)
    assert abs(lesion.cnr) == pytest.approx(abs(lesion.true_contrast) / 5.0, rel=0.2)
    (lesion,) = score_lesions(np.full_like(truth, 1500.0), phantom)
    assert (lesion.contrast, lesion.dice) == (0, 0)
    assert math.isnan(lesion.centroid_error)


@pytest.mark.parametrize("sigma", [0.8e-3, 1.5e-3])
def test_edge_width_is_that_of_the_blur(sigma):
    x = np.arange(-10e-3, 10e-3, 0.25e-3)
    edge = 1500 + 30 * special.ndtr((x - 0.3e-3) / sigma) + 0.1 * RNG.normal(size=len(x))
    width = 2 * special.ndtri(0.9) * sigma
    assert edge_spread(edge, x, 0.25e-3) == pytest.approx(width, rel=0.03)
    # The modulation of a Gaussian line spread, by summing its Fourier integral.
    line, f = np.exp(-0.5 * (x / sigma) ** 2), mtf_half(width)
    assert (line * np.cos(2 * math.pi * f * x)).sum() / line.sum() == pytest.approx(0.5, abs=1e-3)
    assert math.isnan(edge_spread(np.ones(20), np.linspace(-1, 1, 20), 0.1))


def test_edges_of_lesions_widen_with_blur():
    phantom = make_phantom(1)
    widths = [score_lesions(blurred(phantom, s), phantom)[0].edge_width for s in (0.8e-3, 1.6e-3)]
    assert widths[0] < widths[1] == pytest.approx(2.563 * 1.6e-3, rel=0.35)  # of a curved edge


def test_ring_correlation_is_that_of_its_definition():
    a, b = RNG.normal(size=(2, 12, 16))
    found = ring_correlation(a, b, 1e-3)
    fa, fb = np.fft.fft2(a), np.fft.fft2(b)
    sums = {}
    for i, j in np.ndindex(12, 16):
        y, x = ((i + 6) % 12 - 6) / 12, ((j + 8) % 16 - 8) / 16
        ring = round(16 * math.hypot(y, x))
        total = sums.setdefault(ring, [0.0, 0.0, 0.0])
        total[0] += (fa[i, j] * fb[i, j].conjugate()).real
        total[1] += abs(fa[i, j]) ** 2
        total[2] += abs(fb[i, j]) ** 2
    expected = [sums[k][0] / math.sqrt(sums[k][1] * sums[k][2]) for k in range(1, 9)]
    assert found.correlation == pytest.approx(expected)
    assert found.frequencies == pytest.approx(np.arange(1, 9) / 16e-3)
    with pytest.raises(ValueError, match="shapes"):
        ring_correlation(a, b[1:], 1e-3)


def test_ring_correlation_finds_where_detail_ends():
    a = RNG.normal(size=(128, 128))
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(128, 1e-3), np.fft.fftfreq(128, 1e-3)))
    low = np.fft.ifft2(np.fft.fft2(a) * (f < 200)).real + 0.01 * RNG.normal(size=a.shape)
    assert ring_correlation(a, low, 1e-3).resolution(0.5) == pytest.approx(0.5 / 200, rel=0.05)


def test_channels_are_orthonormal():
    n, h = 401, 0.05
    y, x = np.meshgrid(*(h * (np.arange(n) - n // 2),) * 2, indexing="ij")
    u = channels(np.hypot(y, x).ravel(), 1.0)
    assert u @ u.T * h**2 == pytest.approx(np.eye(len(u)), abs=1e-6)


def test_the_observer_reaches_what_theory_allows():
    n, shift = 4000, np.array([0.8, -0.5, 0.3])
    covariance = np.array([[1.0, 0.4, 0], [0.4, 2.0, 0.1], [0, 0.1, 0.5]])
    present = np.arange(n) % 2 == 0
    responses = RNG.multivariate_normal(np.zeros(3), covariance, n) + present[:, None] * shift
    found = hotelling(responses, present, np.arange(n) // 200)
    expected = math.sqrt(shift @ np.linalg.solve(covariance, shift))
    # The standard error of d' with 2000 of each class is about 0.035.
    assert found.detectability == pytest.approx(expected, abs=0.11)
    hits = found.ratings[present][:, None] > found.ratings[~present][None]
    assert hits.mean() == pytest.approx(special.ndtr(expected / math.sqrt(2)), abs=0.03)
    assert hotelling(responses[:6], present[:6], np.arange(6)) is None


def test_the_observer_does_not_see_what_is_not_there():
    present = np.arange(80) % 2 == 0
    ratings = hotelling(RNG.normal(size=(80, 6)), present, np.arange(80) // 4).ratings
    hits = (ratings[present][:, None] > ratings[~present][None]).mean()
    assert abs(hits - 0.5) < 0.2  # 3 standard errors of an area of one half with 40 of each


def test_places_without_a_lesion_are_like_those_with_one():
    phantom = make_phantom(2)
    patches = look(speeds(phantom), phantom)
    assert [p.kind for p in patches if p.kind] == ["cyst"]
    sick = np.isin(phantom.labels.numpy(), [4])
    away = ndimage.distance_transform_edt(~sick, sampling=GRID.spacing)
    for patch in patches[1:]:
        cell = tuple(round(float(v)) for v in GRID.fractional_index(torch.tensor(patch.centre)))
        assert away[cell] >= 12e-3
        assert patch.responses == patch.true_responses
    assert patches == look(speeds(phantom), phantom)


def test_rays_through_a_disc():
    mask = GRID.disc(20e-3).numpy()
    lengths = chord_integrals(mask[None].astype(float), mask, GRID.spacing)[0]
    assert lengths.max() == pytest.approx(40e-3, rel=0.03)
    truth = np.where(mask, 1500.0, 1480.0)
    slow = np.where(mask, 1450.0, 1480.0)
    late = 40e-3 * (1 / 1450 - 1 / 1500)
    assert skipped_share(slow, truth, mask, GRID.spacing, 0.45 / late) == 0
    assert 0 < skipped_share(slow, truth, mask, GRID.spacing, 0.8 / late) < 1
    assert skipped_share(slow, truth, mask, GRID.spacing, 10 / late) > 0.9
    assert math.isnan(skipped_share(slow, truth, np.zeros_like(mask), GRID.spacing, 1e5))


def test_density_classes():
    shares = (0.05, 0.15, 0.34, 0.60)
    assert [Density(1480.0, s).density_class for s in shares] == [
        "fatty", "scattered", "heterogeneous", "dense"
    ]  # fmt: skip
    assert Density(math.nan, math.nan).density_class == ""


def test_all_scores_of_a_case_go_into_json():
    phantom = make_phantom(3)
    scores = evaluate_case(make_result(phantom, 1.0e-3), phantom)
    facts = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert facts["rmse"] == pytest.approx(scores.image.rmse)
    assert not scores.is_failure
    assert facts["density"]["mean_speed"] == pytest.approx(facts["true_density"]["mean_speed"], abs=3)
    assert {t["name"] for t in facts["tissues"]} >= {"fat", "gland"}
    assert scores.rows()
    alone = evaluate_case(make_result(phantom, 1.0e-3), phantom.medium)
    assert alone.tissues == alone.lesions == alone.patches == ()


def test_a_lesion_as_fast_as_what_surrounds_it_is_said_to_be_too_faint():
    phantom, speed = make_phantom(1), make_phantom(1).medium.sound_speed.clone()
    lesion, gland = phantom.labels == TISSUES.index("malignant"), phantom.labels == TISSUES.index("gland")
    for above, words in ((3.0, "fainter than 5 m/s"), (30.0, "shown as")):
        speed[lesion] = speed[gland][0] + above
        faint = replace(phantom, medium=replace(phantom.medium, sound_speed=speed.clone()))
        (text,) = [
            text
            for label, text in evaluate_case(make_result(faint, 1e-3), faint).rows()
            if label.startswith("Lesion")
        ]
        assert words in text
        assert (above > 5) == ("contrast recovery" in text)


def test_an_image_no_better_than_its_start_is_a_failure():
    phantom = make_phantom(3)
    result = make_result(phantom, 1.0e-3, error=200.0)
    scores = evaluate_case(result, phantom)
    assert scores.is_failure
    assert scores.is_skipped
