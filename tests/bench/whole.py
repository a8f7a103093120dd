"""A whole reconstruction: the demo's breast, from spectra in memory to the image."""

import dataclasses
import time
from typing import Any

from tests.bench.baselines import UnavailableError


def reconstruction(quick: bool) -> dict[str, Any]:
    """Row of one reconstruction with the default settings, on a GPU where there is one.

    Args:
        quick: Take a small object and few elements instead.

    Raises:
        UnavailableError: If a package that reading settings needs is missing.
    """
    try:
        from usct import api, phantom
        from usct.acquisition import TransducerArray
        from usct.config import load_config
        from usct.evaluation import evaluate
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{error.name} is not installed") from None
    made = phantom.make("two_disks", spacing=1e-3) if quick else phantom.make("breast", seed=3)
    made = dataclasses.replace(made, medium=dataclasses.replace(made.medium, density=None))
    frequencies = [1e5, 1.5e5] if quick else [1e3 * f for f in range(200, 501, 50)]
    n_elements = 48 if quick else 256
    scan = api.simulate(made, TransducerArray.ring(n_elements, 0.11), frequencies, seed=3)
    began = time.perf_counter()
    result = api.reconstruct(dataclasses.replace(scan, truth=None), load_config(None, None, []))
    seconds = time.perf_counter() - began
    scores = evaluate(result.medium, made.medium, result.start)
    name = f"reconstruction, {n_elements} elements, {len(frequencies)} frequencies, {len(result.history)} updates"
    return {
        "name": name,
        "seconds": seconds,
        "ratio": None,
        "rmse": scores.rmse,
        "start_rmse": scores.start_rmse,
    }
