"""The benchmark of the fields: each is timed at the solver's cells, against the same solve."""

import json
from pathlib import Path

import pytest

from tests.bench import fields
from usct.comparison import REPRESENTATIONS


def test_every_representation_has_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "fields.json"
    assert fields.main(["--size", "60", "--elements", "8", "--repeats", "1", "--output", str(output)]) == 0
    rows = json.loads(output.read_text())
    assert {row["name"].split()[0] for row in rows} == set(REPRESENTATIONS)
    shown = capsys.readouterr().out
    for row in rows:
        assert f"{row['name']:16}{row['parameters']:13d}" in shown
        medium, transposed, product = (row[f"{part}_seconds"] for part in ("medium", "transposed", "product"))
        assert min(medium, transposed, product) > 0
        is_network = row["name"] not in ("pixel", "filtered", "tailored")
        assert row["seconds"] == pytest.approx(transposed + (medium if is_network else product))
        assert row["ratio"] == pytest.approx(row["seconds"] / row["solve_seconds"])
        steps = 20 * row["seconds"] if is_network else medium + transposed + 5 * row["seconds"]
        waves = row["solve_seconds"] + (20 if is_network else 5) * row["wave_product_seconds"]
        assert row["update_ratio"] == pytest.approx(steps / waves)
