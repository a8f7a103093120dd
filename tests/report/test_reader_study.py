"""Reader studies: blinded, in an order of their own, with the key apart, and answers that come back as areas."""

import csv

import pytest

from tests.report.results import make_results
from usct import cli

pytest.importorskip("matplotlib", reason="figures need matplotlib")
from usct.evaluation.roc import auc  # noqa: E402 - after the check above
from usct.report.reader_study import score_readers  # noqa: E402


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    make_results(folder / "results", 5, methods=("tailored",))
    assert run("reader-study", folder / "results", "-o", folder / "images", "--seed", 1) == 0
    return folder


def run(*words):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    return stop.value.code


def rows_of(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def fill(study, name, rating):
    lines = [
        "image,rating_1_to_5,comment",
        *(f"{r['image']},{rating(r)}," for r in rows_of(study / "images-key.csv")),
    ]
    path = study / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_readers_see_images_and_nothing_else(study):
    names = {p.name for p in (study / "images").iterdir()}
    key = rows_of(study / "images-key.csv")
    assert names == {r["image"] for r in key} | {"answers.csv", "instructions.txt"}
    assert len(key) >= 10
    seen = b"".join(p.read_bytes() for p in (study / "images").iterdir())
    assert not any(word in seen for word in (b"tailored", b"round-0", b"malignant"))
    cases = [r["case"] for r in key]
    assert cases != sorted(cases)
    assert {r["image"] for r in rows_of(study / "images" / "answers.csv")} == {r["image"] for r in key}


def test_the_seed_decides_the_order(study, tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        assert run("reader-study", study / "results", "-o", tmp_path / name, "--seed", seed) == 0
    again, other = ((tmp_path / f"{name}-key.csv").read_text() for name in "ab")
    assert (study / "images-key.csv").read_text() == again != other
    first = "image-0001.png"
    assert (study / "images" / first).read_bytes() == (tmp_path / "a" / first).read_bytes()


def test_answers_come_back_as_areas(study, capsys):
    key = rows_of(study / "images-key.csv")
    sure = fill(study, "sure.csv", lambda r: 5 if r["lesion"] else 1)
    odd = fill(study, "odd.csv", lambda r: 1 + int(r["image"][6:10]) % 5)
    lazy = fill(study, "lazy.csv", lambda r: 3 if r["image"] == key[0]["image"] else "")
    found = {s.reader: s for s in score_readers(study / "images-key.csv", [sure, odd, lazy])}
    assert found["sure"].area.value == 1
    ratings = [(1 + int(r["image"][6:10]) % 5, bool(r["lesion"])) for r in key]
    expected = auc([v for v, lesion in ratings if lesion], [v for v, lesion in ratings if not lesion])
    assert found["odd"].area.value == pytest.approx(expected)
    assert (found["lazy"].n_rated, found["lazy"].n_shown) == (1, len(key))
    assert run("score-readers", sure, odd, "--key", study / "images-key.csv") == 0
    assert "AUC 1.000 (no interval), 5 cases" in capsys.readouterr().out


@pytest.mark.parametrize(("rating", "words"), [("6", "from 1 to 5"), ("yes", "from 1 to 5")])
def test_ratings_that_are_none(study, capsys, rating, words):
    path = fill(study, "bad.csv", lambda _: rating)
    assert run("score-readers", path, "--key", study / "images-key.csv") == 2
    assert words in capsys.readouterr().err


def test_what_would_spoil_a_study(study, tmp_path, capsys):
    inside = study / "new" / "key.csv"
    assert run("reader-study", study / "results", "-o", study / "new", "--key", inside) == 2
    assert "outside" in capsys.readouterr().err
    assert run("reader-study", study / "results", "-o", study / "images") == 2
    assert "new folder" in capsys.readouterr().err
    assert run("score-readers", tmp_path / "none.csv", "--key", study / "images-key.csv") == 2
    other = tmp_path / "other.csv"
    other.write_text("image,rating_1_to_5\nx.png,3\n")
    assert run("score-readers", other, "--key", study / "images-key.csv") == 2
    assert "not in the key" in capsys.readouterr().err
