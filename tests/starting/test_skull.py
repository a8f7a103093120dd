"""A skull from CT: mappings, segmentation, registration and the start model."""

import numpy as np
import pytest

from usct.grid import Grid
from usct.starting.skull.mappings import MAPPINGS, bone_properties, speeds_by_mapping
from usct.starting.skull.model import (
    BRAIN,
    SCALP,
    SKULL,
    WATER,
    CtSlice,
    body_of,
    head_of,
    outline,
    placed,
    segment,
    slice_of,
)
from usct.starting.skull.registration import Rigid, register_landmarks, register_surface

MM = 1e-3


def head_ct(n: int = 121, spacing: float = 1.5 * MM) -> CtSlice:
    """An elliptical head: scalp of 5 mm, skull of 7 mm with a suture and a bed below."""
    grid = Grid.centred((n, n), spacing)
    y, x = (grid.points()[..., axis].numpy() for axis in (0, 1))

    def within(shrink: float) -> np.ndarray:
        return np.hypot(y / (80 * MM - shrink), x / (62 * MM - shrink)) < 1

    values = np.full(grid.shape, -1000.0)
    values[within(0)] = 40.0
    values[within(5 * MM) & ~within(12 * MM)] = 1500.0
    values[(np.abs(x) < 1 * MM) & (y > 0) & within(5 * MM)] = 60.0
    values[-3:] = 200.0
    return CtSlice(values, grid)


def test_mappings_agree_on_what_bone_is_and_are_monotone() -> None:
    hounsfield = np.linspace(400.0, 1900.0, 31)
    for name in MAPPINGS:
        bone = bone_properties(hounsfield, name)
        assert (np.diff(bone.sound_speed) > 0).all(), name
        assert (np.diff(bone.density) > 0).all(), name
        assert 1600 < bone.sound_speed[0] < bone.sound_speed[-1] < 3400, name
        assert (bone.attenuation > 0).all(), name


def test_mappings_at_published_points() -> None:
    aubry = bone_properties(np.array([0.0, 1000.0, 2000.0]), "aubry2003")
    np.testing.assert_allclose(aubry.sound_speed, [1500, 2300, 3100])
    np.testing.assert_allclose(aubry.density, [1000, 1600, 2200])
    kplan = bone_properties(np.array([60.0, 1000.0, 1950.0]), "kplan")
    np.testing.assert_allclose(kplan.density, [1060, 1530, 2150])
    np.testing.assert_allclose(kplan.sound_speed, 1.33 * kplan.density + 167)
    with pytest.raises(ValueError, match="no mapping 'nobody'"):
        bone_properties(np.zeros(2), "nobody")


def test_choice_of_mapping_is_an_uncertainty_of_hundreds_of_metres_per_second() -> None:
    speeds = speeds_by_mapping(np.full(10, 1200.0))
    assert set(speeds) == set(MAPPINGS)
    assert max(speeds.values()) - min(speeds.values()) > 50


def test_segmentation_finds_skull_through_a_suture_and_leaves_the_bed_out() -> None:
    ct = head_ct()
    labels = segment(ct)
    assert (labels[-3:] == WATER).all()
    expected = (ct.values == 1500.0)[:-3]
    assert ((labels == SKULL)[:-3] == expected).all()
    assert labels[60, 60] == BRAIN
    y = 60 + round(78 * MM / ct.grid.spacing)
    assert labels[y, 60] == SCALP
    with pytest.raises(ValueError, match="no bone"):
        segment(CtSlice(np.minimum(ct.values, 100.0), ct.grid))


def test_segmentation_refuses_bone_that_surrounds_nothing() -> None:
    ct = head_ct()
    values = ct.values.copy()
    values[:40] = np.minimum(values[:40], 40.0)
    with pytest.raises(ValueError, match="surround"):
        segment(CtSlice(values, ct.grid))


def test_landmarks_give_back_a_known_motion_and_its_residual() -> None:
    rng = np.random.default_rng(1)
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    here = rng.normal(0, 50 * MM, (6, 2))
    there = here @ rotation.T + [4 * MM, -7 * MM]
    found = register_landmarks(here, there)
    assert found.angle == pytest.approx(angle)
    np.testing.assert_allclose(found.shift, [4 * MM, -7 * MM])
    np.testing.assert_allclose(found.undo(found.apply(here)), here, atol=1e-12)
    assert found.residual < 1e-12
    rough = register_landmarks(here, there + rng.normal(0, 1 * MM, (6, 2)))
    assert 0.3 * MM < rough.residual < 2.5 * MM
    mirrored = register_landmarks(here, here * [1, -1])
    assert np.linalg.det(mirrored.rotation) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="two pairs"):
        register_landmarks(here[:1], there[:1])


def test_surface_is_registered_to_within_a_voxel() -> None:
    ct = head_ct()
    surface = outline(segment(ct), ct.grid)
    angle = 0.15
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    true = Rigid(rotation, np.array([3 * MM, 5 * MM]))
    found = register_surface(surface, true.apply(surface[::5]))
    assert found.angle == pytest.approx(angle, abs=0.02)
    np.testing.assert_allclose(found.shift, true.shift, atol=1 * MM)
    assert found.residual < ct.grid.spacing


def test_slices_are_interpolated_and_made_square() -> None:
    volume = np.stack([np.full((20, 10), value) for value in (0.0, 100.0, 200.0)])
    ct = slice_of(volume, (2 * MM, 1 * MM, 2 * MM), 3 * MM)
    assert ct.grid.shape == (20, 20)
    np.testing.assert_allclose(ct.values, 150.0)
    with pytest.raises(ValueError, match="outside the series"):
        slice_of(volume, (2 * MM, 1 * MM, 1 * MM), 5 * MM)


def test_start_model_carries_bone_where_the_motion_takes_it() -> None:
    ct = head_ct()
    target = Grid.centred((101, 101), 2 * MM)
    shift = Rigid.translation(np.array([10 * MM, 0.0]))
    model = placed(head_of(ct, "kplan"), shift, target, 1490.0)
    speed = model.medium.sound_speed
    assert float(speed[0, 0]) == pytest.approx(1490.0)
    assert float(speed[55, 50]) == pytest.approx(1560.0)
    # Voxels 8 mm inside the scalp's top, moved by 10 mm.
    top = 50 + round((-71.5 + 10) / 2)
    kplan = bone_properties(np.array([1500.0]), "kplan")
    assert float(speed[top, 50]) == pytest.approx(float(kplan.sound_speed[0]), rel=0.05)
    assert model.medium.density is not None and model.medium.attenuation is not None
    assert float(model.medium.density[top, 50]) > 1600
    assert int(model.labels[top, 50]) == SKULL
    assert "kplan" in model.provenance["bone_mapping"] and "m/s" in model.provenance["bone_speed_spread"]


def test_the_table_is_left_out_where_it_is_larger_than_the_head() -> None:
    """Above the crown of the head the table is the largest body of a slice, but not of the series."""
    ct = head_ct()
    crown = np.full(ct.values.shape, -1000.0)
    crown[58:63, 58:63] = 40.0
    crown[-3:] = 400.0
    kept = body_of(np.stack([ct.values, ct.values, crown]))
    assert (kept[:, -3:] == -1000).all() and (kept[2, 58:63, 58:63] == 40).all()
    labels = segment(CtSlice(kept[2], ct.grid), whole=False)
    assert set(labels[58:63, 58:63].ravel()) == {SCALP} and (labels[-3:] == WATER).all()
