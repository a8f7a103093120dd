"""A scan with many faults, once calibrated, gives nearly the image of a clean one."""

from tests.bench.repair import image_error, scans


def test_the_image_of_a_repaired_scan_is_within_a_fifth_of_the_clean_one():
    made = scans(seed=0)
    found = {name: image_error(made[name]) for name in ("clean", "faulty", "calibrated")}
    assert found["faulty"] > 3 * found["clean"], found
    assert found["calibrated"] < 1.2 * found["clean"], found
