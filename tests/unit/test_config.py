"""Settings: presets, files and key=value, and a sentence for each mistake."""

import pytest

from usct.config import RunConfig, load_config, preset_names
from usct.errors import InputError


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_describes_itself(name):
    config = load_config(name, None, [])
    assert config.preset == name
    assert config.description
    frequencies = config.schedule.frequencies_mhz
    assert frequencies is None or list(frequencies) == sorted(frequencies)


def test_breast_is_the_default():
    assert load_config(None, None, []).preset == "breast"


def test_settings_lie_over_the_file_over_the_preset(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('preset = "head"\n[schedule]\ncutoff = 0.7\niterations = 3\n', encoding="utf-8")
    config = load_config(None, file, ["schedule.iterations=5", "device=cpu"])
    assert (config.preset, config.schedule.cutoff, config.schedule.iterations) == ("head", 0.7, 5)
    assert config.bounds.sound_speed == (1350.0, 3300.0)
    assert config.device == "cpu"
    assert load_config("breast", file, []).preset == "breast"


def test_a_preset_may_be_set_like_any_key():
    assert load_config(None, None, ["preset=head"]).bounds.sound_speed == (1350.0, 3300.0)


@pytest.mark.parametrize(
    "text", ["adaptive,least-squares", "[adaptive, least-squares]", '["adaptive", "least-squares"]']
)
def test_misfits_are_listed_as_people_type_them(text):
    assert load_config(None, None, [f"misfit.name={text}"]).misfit.name == ("adaptive", "least-squares")
    assert load_config(None, None, []).misfit.name == ("least-squares",)


def test_settings_survive_their_json():
    config = load_config("head", None, ["threads=2"])
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("schedule.iteratons=3", ["unknown setting 'schedule.iteratons'", "known here", "iterations"]),
        ("nonsense=1", ["unknown setting 'nonsense'", "schedule"]),
        ("schedule.iterations=many", ["'schedule.iterations'", '"many"', "valid integer"]),
        ("schedule.iterations=0", ["'schedule.iterations'", "= 0", "greater than or equal to 1"]),
        ("schedule.frequencies_mhz=[]", ["'schedule.frequencies_mhz'", "= []", "at least 1 item"]),
        ("schedule.frequencies_mhz=[0.2, -0.3]", ["'schedule.frequencies_mhz'", "-0.3", "greater than 0"]),
        ("schedule.frequencies_mhz=[nan]", ["'schedule.frequencies_mhz'", "NaN", "greater than 0"]),
        ("schedule.optimizer=sgd", ["'schedule.optimizer'", '"sgd"', "gauss-newton"]),
        ("bounds.sound_speed=[1700, 1350]", ["'bounds.sound_speed'", "[1700, 1350]", "below the second"]),
        ("bounds.expected=[1600, 1600]", ["'bounds.expected'", "[1600, 1600]", "below the second"]),
        ("water.sound_speed=1.48", ["'water.sound_speed'", "1.48", "greater than 300"]),
        ("grid=3", ["'grid'", "= 3", "dictionary"]),
        ("schedule.iterations", ["--set 'schedule.iterations'", "section.key=value"]),
        ("misfit.name=l3", ["'misfit.name'", '"l3"', "least-squares", "envelope"]),
        ("misfit.name=", ["'misfit.name'"]),
        ("misfit.name=[]", ["'misfit.name'"]),
        ("=3", ["--set '=3'", "section.key=value"]),
        ("preset=lung", ["no preset 'lung'", "breast", "head"]),
    ],
)
def test_mistakes_are_one_sentence_with_key_and_value(override, parts):
    with pytest.raises(InputError) as caught:
        load_config(None, None, [override])
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[schedule\n", "is not valid TOML"),
        ("[schedule]\nspeed = 3\n", "unknown setting 'schedule.speed'"),
        ("[grid]\npml_cells = 1\n", "setting 'grid.pml_cells' = 1 is wrong"),
    ],
)
def test_mistakes_in_a_file_name_it(tmp_path, text, part):
    file = tmp_path / "run.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="run.toml: ") as caught:
        load_config(None, file, [])
    assert part in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.toml: cannot be read \(No such file"):
        load_config(None, tmp_path / "none.toml", [])


def test_receivers_cannot_be_both_too_near_and_too_far():
    with pytest.raises(
        InputError, match=r"'misfit.widest_angle_deg' = 30 is wrong: it must be above mute_angle_deg = 44"
    ):
        load_config(None, None, ["misfit.widest_angle_deg=30"])
