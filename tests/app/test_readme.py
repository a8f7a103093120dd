"""What the README shows must run, and what it promises must be there."""

import re
from pathlib import Path

import pytest

from usct import cli
from usct.reconstruction import RESEARCH_USE_ONLY

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_quickstart_runs_and_improves_on_the_start(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own text
    assert names["scores"].rmse < 0.5 * names["scores"].start_rmse
    assert "m/s inside the disk" in capsys.readouterr().out


def test_every_command_and_option_shown_exists(capsys):
    lines = re.findall(r"^usct ([\w-]+)(.*?)(?:#.*)?$", README, flags=re.MULTILINE)
    assert len(lines) >= 10
    groups = ("start", "pacs")
    for verb, words in lines:
        command = [verb, words.split()[0]] if verb in groups else [verb]
        with pytest.raises(SystemExit) as leaving:
            cli.main([*command, "--help"])
        assert leaving.value.code == 0, verb
        text = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", words):
            assert option in text, f"usct {verb} has no {option}"


def test_two_commands_come_first_and_exist():
    first_block = README.split("```")[1]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", first_block, flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in {*targets, *re.findall(r"`make (\w+)", README)}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_research_notice_is_there():
    assert RESEARCH_USE_ONLY in README


def test_links_point_at_files():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
