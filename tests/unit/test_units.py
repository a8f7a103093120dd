"""Conversions."""

import math

import pytest

from usct import units


def test_attenuation_goes_there_and_back():
    assert units.attenuation_from_db(1.0) == pytest.approx(11.5129, rel=1e-5)
    assert units.attenuation_to_db(units.attenuation_from_db(0.48)) == pytest.approx(0.48)


def test_levels():
    assert units.amplitude_ratio_from_db(20.0) == pytest.approx(10.0)
    assert 20 * math.log10(units.amplitude_ratio_from_db(-6.0)) == pytest.approx(-6.0)


@pytest.mark.parametrize(("celsius", "speed"), [(20, 1482.36), (25, 1496.70), (37, 1523.60), (74, 1555.14)])
def test_water_agrees_with_published_values(celsius, speed):
    assert units.water_sound_speed(celsius) == pytest.approx(speed, abs=0.1)


@pytest.mark.parametrize("celsius", [-1, 96, math.nan])
def test_water_that_is_ice_or_steam_is_refused(celsius):
    with pytest.raises(ValueError, match="temperature must lie in 0 to 95"):
        units.water_sound_speed(celsius)
