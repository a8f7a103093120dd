"""A case of the repository meets the score that its file promises."""

import dataclasses

from usct import api, phantom
from usct.acquisition import TransducerArray
from usct.config import load_config
from usct.evaluation import evaluate


def test_the_disk_case_meets_its_score():
    case = phantom.load_case("disk_ring")
    made = phantom.make(case.phantom, seed=case.seed)
    scan = api.simulate(
        made,
        TransducerArray.ring(case.elements, 1e-3 * case.ring_radius_mm),
        [1e6 * f for f in case.frequencies_mhz],
        snr_db=case.snr_db,
        seed=case.noise_seed,
        spacing=1e-3 * case.simulation_spacing_mm,
    )
    config = load_config(None, None, [f"start.sound_speed={case.start_sound_speed}"])
    result = api.reconstruct(dataclasses.replace(scan, truth=None), config)
    scores = evaluate(result.medium, made.medium, result.start)
    assert scores.rmse <= case.expected_rmse < 0.5 * scores.start_rmse
