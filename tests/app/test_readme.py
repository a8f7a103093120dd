"""What the README shows must run, and what it promises must be there."""

import re
import shlex
from pathlib import Path

import pytest

from usct import cli
from usct.reconstruction import RESEARCH_USE_ONLY

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADS = (ROOT / "phantoms" / "heads.md").read_text(encoding="utf-8")


def test_quickstart_runs_and_improves_on_the_start(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own text
    assert names["scores"].rmse < 0.5 * names["scores"].start_rmse
    assert "m/s inside the disk" in capsys.readouterr().out


@pytest.mark.parametrize("page", [README, HEADS], ids=["README", "heads"])
def test_every_command_and_option_shown_exists(page, capsys):
    lines = re.findall(r"(?:^|`)usct ([a-z][\w-]*)([^`\n#]*)", page, flags=re.MULTILINE)
    assert len(lines) >= 8
    groups = ("start", "pacs")
    for verb, words in lines:
        command = [verb, words.split()[0]] if verb in groups else [verb]
        with pytest.raises(SystemExit) as leaving:
            cli.main([*command, "--help"])
        assert leaving.value.code == 0, verb
        text = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", words):
            assert option in text, f"usct {verb} has no {option}"


def test_the_commands_for_a_head_lead_to_an_image(tmp_path, monkeypatch, capsys):
    """All of the page, word for word, but on coarser cells, with fewer elements and frequencies."""
    monkeypatch.chdir(tmp_path)
    commands = HEADS.split("```")[1].strip().splitlines()
    assert [line.split()[1] for line in commands] == [
        "phantom",
        "simulate",
        "start",
        "reconstruct",
        "evaluate",
        "diagnose",
        "plan",
    ]
    for less, much in (
        ("--elements 48", "--elements 24"),
        ("0.05,0.075,0.1]", "0.05,0.075]"),
        ("0.05:0.1:", "0.05:0.08:"),
    ):
        commands = [line.replace(less, much) for line in commands]
    smaller = {"phantom": ["--spacing-mm", "2"], "reconstruct": ["--set", "grid.image_spacing_mm=2"]}
    smaller |= {"diagnose": ["--modes", "4", "--steps", "0", "--no-maps"]}
    smaller |= {"plan": ["--elements", "16", "--frequencies-khz", "50"]}
    for line in commands:
        words = shlex.split(line)[1:]
        with pytest.raises(SystemExit) as leaving:
            cli.main([*words, *smaller.get(words[0], [])])
        assert leaving.value.code == 0, line
    said = capsys.readouterr().out
    assert "Lesion: haemorrhage" in said and "detail" in said
    recovery = float(re.findall(r"contrast recovery ([\d.]+)", said)[-1])
    assert 0.6 < recovery < 1.4
    assert (tmp_path / "plan" / "plan.html").is_file()


def test_two_commands_come_first_and_exist():
    first_block = README.split("```")[1]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", first_block, flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in {*targets, *re.findall(r"`make (\w+)", README)}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_research_notice_is_there():
    assert RESEARCH_USE_ONLY in README and RESEARCH_USE_ONLY in HEADS


def test_links_point_at_files():
    for folder, page in ((ROOT, README), (ROOT / "phantoms", HEADS)):
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert (folder / target).exists(), target
