"""The cohort's report: what it says of whole, broken and single cohorts, and that it stands alone."""

import json
import re

import numpy as np
import pytest

from tests.diagnosis_cases import make_diagnosis
from tests.report.results import make_results
from usct import cli, io
from usct.errors import InputError

pytest.importorskip("matplotlib", reason="figures need matplotlib")
from usct.report import printing  # noqa: E402 - after the check above
from usct.report.cohort import load_cohort  # noqa: E402
from usct.report.cohort_page import cohort_page  # noqa: E402
from usct.report.cohort_tables import comparison_rows, detections, summary_rows  # noqa: E402


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return make_results(folder, 8, failed={(3, "pixel")}, wrong={(5, "pixel")})


@pytest.fixture(scope="module")
def page(results):
    return cohort_page(load_cohort(results))


def run(*words):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    return stop.value.code


def test_the_cohort_knows_every_run(results):
    cohort = load_cohort(results)
    assert len(cohort.cases) == 8
    assert cohort.methods == ("pixel", "tailored")
    lost = [r for r in cohort.runs if not r.scores]
    assert [(r.case, r.sentence) for r in lost] == [("round-003", "The scan holds <no> data.")]
    assert (cohort.failures("pixel").value, cohort.failures("tailored").value) == (2 / 8, 0)
    files = sorted(results.glob("*/tailored/evaluation.json"))
    expected = [json.loads(f.read_text())["rmse"] for f in files]
    assert cohort.values("tailored", "rmse") == pytest.approx(expected)


def test_the_page_stands_alone_and_escapes_what_it_is_told(page):
    assert not re.findall(r"(?:src|href)=[\"'](?!data:image/png;base64,)", page)
    assert "<script" not in page
    assert "The scan holds &lt;no&gt; data." in page
    assert page.count("Research use only") >= 2
    # On a phone tables scroll by themselves, not the page.
    assert page.count("<table") == page.count('<div class="scroll"><table') > 5
    assert "park2023" in page


def test_the_page_states_numbers_with_interval_and_n(results, page):
    cohort = load_cohort(results)
    median = np.nanmedian(cohort.values("pixel", "rmse"))
    cell = summary_rows(cohort)[0][1]
    assert cell.startswith(f"{median:.2f} (")
    assert cell.endswith("n = 7")
    assert cell in page
    assert "2 of 16 runs failed" in page
    assert "1 left out" in page
    assert "0 of 15 finished runs carry a diagnosis" in page


def test_every_comparison_is_corrected_and_has_its_interval(results):
    rows = comparison_rows(load_cohort(results))
    assert len(rows) == 3
    for row in rows:
        assert re.search(r"\(.+ to .+\)", row[2])
        assert "7 pairs, 1 left out" in row[3]


def test_detection_is_judged_by_case(results):
    found = {d.name: d for d in detections(load_cohort(results))}
    assert set(found) == {"pixel", "tailored", "truth"}
    assert found["tailored"].n_present == 8
    assert 0.5 < found["tailored"].area.value <= 1


def test_one_case_alone_and_one_method(tmp_path):
    cohort = load_cohort(make_results(tmp_path, 1, methods=("tailored",)))
    page = cohort_page(cohort)
    assert "only case" in page
    assert "nothing to compare" in page
    assert "no interval" in page


def test_what_was_not_run_or_not_scored_is_no_failure(tmp_path):
    make_results(tmp_path, 3, methods=("pixel",))
    (tmp_path / "round-000" / "pixel" / "done.json").unlink()
    (tmp_path / "round-001" / "pixel" / "evaluation.json").unlink()
    cohort = load_cohort(tmp_path)
    assert [run.status for run in cohort.runs] == ["missing", "done", "done"]
    assert (cohort.failures("pixel").value, cohort.failures("pixel").n) == (0, 1)
    page = cohort_page(cohort)
    assert "Not run to their end: 1;" in page
    assert "truth is not known: 1." in page
    assert "None of 3 runs failed" in page


def test_nothing_finished(tmp_path):
    make_results(tmp_path, 2, methods=("pixel",), failed={(0, "pixel"), (1, "pixel")})
    assert "2 of 2 runs failed" in cohort_page(load_cohort(tmp_path))


def test_diagnoses_are_shown_where_there_are_some(tmp_path):
    make_results(tmp_path, 2, methods=("pixel",))
    io.save(make_diagnosis(), tmp_path / "round-001" / "pixel" / "kernels.h5")
    page = cohort_page(load_cohort(tmp_path))
    assert "1 of 2 finished runs carry a diagnosis" in page
    assert "512" in page


def test_truth_and_result_files_may_be_missing(tmp_path):
    make_results(tmp_path, 2, methods=("pixel",))
    for path in [*tmp_path.glob("phantoms/*.h5"), tmp_path / "round-000" / "pixel" / "result.h5"]:
        path.unlink()
    assert "Best, median and worst" in cohort_page(load_cohort(tmp_path))


def test_what_is_no_folder_of_results(tmp_path):
    with pytest.raises(InputError, match="no results"):
        load_cohort(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        load_cohort(tmp_path)


def test_report_of_a_folder_with_a_page_for_every_case(tmp_path, capsys):
    page, results = tmp_path / "report.html", tmp_path / "results"
    make_results(results, 2, methods=("pixel",), failed={(0, "pixel")})
    assert run("report", results, "-o", page, "--cases", tmp_path / "pages") == 0
    links = re.findall(r'href="([^"]+)"', page.read_text(encoding="utf-8"))
    assert len(links) == 1
    assert all((tmp_path / link).is_file() for link in links)
    assert "malignant" in (tmp_path / links[0]).read_text(encoding="utf-8")
    assert run("report", results, "-o", page, "--truth", "phantom.h5") == 2
    assert "leave out --truth" in capsys.readouterr().err


def test_without_a_browser_there_is_no_pdf(tmp_path, monkeypatch):
    monkeypatch.setattr(printing.shutil, "which", lambda _: None)
    with pytest.raises(InputError, match="write .html"):
        printing.write_pdf(tmp_path / "a.pdf", "<p>page</p>")


@pytest.mark.skipif(printing.browser() is None, reason="needs Chromium or Chrome")
def test_pdf_by_a_real_browser(tmp_path, page):
    printing.write_pdf(tmp_path / "a.pdf", page)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
