"""A folder of results as a batch leaves it, made from blurred truths through the public writers."""

import json
from pathlib import Path

from tests.evaluation.cases import make_phantom, make_result
from usct import io
from usct.evaluation import evaluate_case

BLUR = {"pixel": 1.6e-3, "tailored": 1.0e-3}


def make_results(folder: Path, n_cases: int, methods=("pixel", "tailored"), failed=(), wrong=()) -> Path:
    """Results of some cases; `failed` and `wrong` are (case, method) without a result, and with a useless one."""
    runs, cases = [], []
    (folder / "phantoms").mkdir(parents=True, exist_ok=True)
    for seed in range(n_cases):
        phantom, case = make_phantom(seed), f"round-{seed:03d}"
        io.save(phantom, folder / "phantoms" / f"{case}.h5")
        cases.append(
            {"name": case, "phantom": f"phantoms/{case}.h5", "sha256": "", "facts": phantom.provenance}
        )
        for method in methods:
            place = folder / case / method
            place.mkdir(parents=True)
            status = "failed" if (seed, method) in failed else "done"
            runs.append({"case": case, "method": method, "folder": f"{case}/{method}", "status": status})
            if status == "failed":
                facts = {
                    "case": case,
                    "method": method,
                    "sentence": "The scan holds <no> data.",
                    "attempts": 3,
                }
                (place / "failed.json").write_text(json.dumps(facts))
                continue
            error = 60.0 if (seed, method) in wrong else 0.0
            result = make_result(phantom, BLUR[method], error, seed)
            io.save(result, place / "result.h5")
            scores = evaluate_case(result, phantom).as_dict()
            facts = {**scores, "case": case, "method": method, "phantom": phantom.provenance}
            (place / "evaluation.json").write_text(json.dumps(facts, allow_nan=False))
            (place / "done.json").write_text("{}")
    manifest = {
        "format": "usct-results", "version": 1, "dataset": "rounds", "tissue_preset": "park2023",
        "methods": list(methods), "runs": runs, "cases": cases,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "config.toml").write_text('methods = ["pixel", "tailored"]\n')
    return folder
