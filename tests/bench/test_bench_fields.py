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
        assert f"{row['name']:16}{row['parameters']:12d}" in shown
        parts = [row[f"{part}_seconds"] for part in ("medium", "transposed", "product")]
        assert min(parts) > 0
        assert row["seconds"] == pytest.approx(sum(parts))
        assert row["ratio"] == pytest.approx(row["seconds"] / row["solve_seconds"])
