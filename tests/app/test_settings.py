"""`usct settings`: what it prints is the settings, and every one of them is explained."""

import tomllib

import pytest

from usct.cli import main
from usct.config import load_config, preset_names


def printed(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["settings", *words])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("preset", preset_names())
def test_what_is_printed_is_a_file_of_the_same_settings(preset, tmp_path, capsys) -> None:
    file = tmp_path / "run.toml"
    # What a preset sets can be unset.
    changed = ["--set", "schedule.damping_time_us=none", "--set", "schedule.iterations=3"]
    file.write_text(printed(capsys, "--preset", preset, *changed), encoding="utf-8")
    wanted = load_config(preset, None, ["schedule.damping_time_us=none", "schedule.iterations=3"])
    assert wanted.schedule.damping_time_us is None
    assert load_config(None, file, []) == wanted


def test_every_setting_is_explained(capsys) -> None:
    lines = printed(capsys).splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        if " = " in line and not line.startswith(("#", "description", "preset")):
            assert before.startswith("# "), line
    text = "\n".join(lines)
    assert (
        "# Low-pass of the image, as a share of the diffraction limit. Above 0 and at most 2.\ncutoff = 0.9"
        in text
    )
    assert max(map(len, lines)) <= 120


def test_sections_can_be_asked_for(capsys) -> None:
    asked = tomllib.loads(printed(capsys, "tissues", "misfit"))
    assert list(asked) == ["misfit", "tissues"] and list(asked["tissues"]) == ["bone", "inside", "outside"]
    assert list(tomllib.loads(printed(capsys, "tissues.bone"))["tissues"]) == ["bone"]
    assert list(tomllib.loads(printed(capsys, "schedule.iterations"))) == ["schedule"]
    with pytest.raises(SystemExit) as end:
        main(["settings", "bogus"])
    assert end.value.code == 2
    assert "no section 'bogus' of settings; choose from start, water" in capsys.readouterr().err


def test_presets_are_listed_with_what_they_are_for(capsys) -> None:
    lines = printed(capsys, "--presets").splitlines()
    assert [line.split()[0] for line in lines] == list(preset_names())
    assert all(len(line.split()) > 3 for line in lines)
