"""Quality control finds planted faults and raises no false alarm."""

import json
import math
from dataclasses import replace

import pytest
import torch

from tests.unit import planted
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.calibration.checking import check
from usct.calibration.levels import is_clipped
from usct.calibration.quality import QualityReport, Verdict, mend
from usct.errors import InputError
from usct.report.drawing import png
from usct.report.quality import quality_figure

FREQUENCIES = torch.tensor([200e3, 300e3], dtype=torch.float64)


@pytest.fixture(scope="module")
def clean() -> Acquisition:
    return planted.clean(with_cylinder=True)


@pytest.fixture(scope="module")
def faulty() -> Acquisition:
    return planted.record(planted.many_faults(), with_cylinder=True, stale=True)


@pytest.fixture(scope="module")
def report(faulty) -> QualityReport:
    return check(faulty)


def faults_of(scan: Acquisition) -> set[str]:
    return {found.name for found in check(scan).faults}


def with_spectra(scan: Acquisition) -> Acquisition:
    return replace(scan, data=scan.spectra(FREQUENCIES, window_speed=1700.0))


@pytest.mark.parametrize("with_cylinder", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_clean_scan_raises_no_alarm(with_cylinder, seed):
    scan = planted.record(planted.no_faults(), with_cylinder, seed)
    report = check(scan)
    assert not report.faults, report.rows()
    assert all(found.verdict is Verdict.GOOD for found in report.checks)
    assert torch.equal(report.usable, scan.data.valid)


def test_samples_that_were_dropped_without_a_filter_are_told(clean):
    """Every fifth sample leaves 0.3 MHz to a pulse that reaches from 0.12 to 0.48 MHz."""
    assert check(clean)["sampling"].verdict is Verdict.GOOD
    traces = clean.data
    thin = replace(traces, values=traces.values[..., ::5], sampling_frequency=traces.sampling_frequency / 5)
    found = check(replace(clean, data=thin))["sampling"]
    assert found.verdict is Verdict.FAULT
    assert "folded" in found.text
    assert found.numbers["nyquist"] == pytest.approx(0.3e6)


@pytest.mark.parametrize(("samples", "cut"), [(512, False), (330, False), (270, True)])
def test_a_record_that_ends_while_waves_arrive_is_told(clean, samples, cut):
    """Waves across the ring and their pulse have passed after 95 us, 285 samples."""
    short = planted.with_data(clean, clean.data.values[..., :samples].clone())
    found = check(short)["record length"]
    assert (found.verdict is Verdict.FAULT) is cut, found
    assert found.numbers["end"] == pytest.approx(samples / 3e6)
    if cut:
        assert "record longer" in found.text and found.numbers["tail_db"] > -30


def test_much_noise_alone_raises_no_alarm_of_anything_else():
    scan = planted.record(replace(planted.no_faults(), noise_db=-12.0), with_cylinder=True)
    assert faults_of(scan) <= {"noise floor", "bands"}


def test_every_dead_and_noisy_channel_is_found_and_no_other(report):
    faults = planted.many_faults()
    expected = faults.dead_channels | torch.eye(planted.N_ELEMENTS, dtype=torch.bool)
    expected[faults.dead_element] = expected[:, faults.dead_element] = True
    expected[:, faults.noisy_element] = True
    assert torch.equal(~report.usable, expected)
    assert report["dead"].numbers["transmits"] == report["dead"].numbers["receives"] == [faults.dead_element]
    assert report["noisy"].numbers["receives"] == [faults.noisy_element]
    assert report["noisy"].numbers["transmits"] == []


def test_turned_elements_are_found(report):
    turned = planted.many_faults().signs
    alive = torch.arange(planted.N_ELEMENTS) != planted.many_faults().dead_element
    assert torch.equal(report.transmit_signs[alive], turned[alive])
    assert torch.equal(report.receive_signs[alive], turned[alive])


def test_wrong_temperature_late_triggers_and_misplaced_elements_are_found(report):
    assert {"water", "synchronisation", "positions"} <= {found.name for found in report.faults}
    water, late, moved = (report[name].numbers for name in ("water", "synchronisation", "positions"))
    assert water["sound_speed"] == pytest.approx(planted.WATER, abs=1.0)
    assert water["temperature"] == pytest.approx(25.0, abs=0.4)
    # Transmit minus receive delay, each of 50 ns.
    assert late["delay_sd"] == pytest.approx(math.sqrt(2) * 50e-9, rel=0.35)
    assert 0.05e-3 < moved["distance_sd"] < 0.4e-3


def test_delays_alone_are_not_taken_for_positions():
    faults = planted.many_faults()
    late = replace(planted.no_faults(), transmit_delays=faults.transmit_delays)
    assert "synchronisation" in faults_of(planted.record(late, with_cylinder=False))
    moved = replace(planted.no_faults(), shifts=faults.shifts)
    assert faults_of(planted.record(moved, with_cylinder=False)) == {"positions"}


def test_the_noise_floor_and_the_bands_are_those_planted(clean):
    report = check(clean)
    floor = report["noise floor"].numbers["noise_pa"]
    quiet = clean.data.values[0, planted.N_ELEMENTS // 2, :60]
    assert floor == pytest.approx(float(quiet.double().std()), rel=0.25)
    bands = report["bands"].numbers
    assert (
        bands["lowest"]
        < planted.CENTRE - 2 * planted.WIDTH
        < planted.CENTRE + 2 * planted.WIDTH
        < bands["highest"]
    )
    edges = torch.tensor(bands["edges"])
    loudest = int(torch.tensor(bands["signal_db"]).argmax())
    assert edges[loudest] <= planted.CENTRE <= edges[loudest + 1]


def test_crosstalk_offset_and_clipping_are_told_apart(clean):
    values = clean.data.values.clone()
    values[..., :15] += 3 * float(values.abs().max()) * torch.linspace(-1, 1, 15)
    report = check(planted.with_data(clean, values))
    assert {found.name for found in report.faults} == {"crosstalk"}
    assert report["crosstalk"].numbers["ends"] == pytest.approx(
        15 / planted.SAMPLING, abs=2 / planted.SAMPLING
    )

    values = clean.data.values.clone()
    values[:, 7] += 0.3 * float(values[0, 20].abs().max())
    report = check(planted.with_data(clean, values))
    assert {found.name for found in report.faults} == {"offset"}
    assert report["offset"].numbers["receives"] == [7]

    assert not is_clipped(clean.data.values)[clean.data.valid].any()
    rail = 0.2 * float(clean.data.values[5, 6].abs().max())
    report = check(planted.with_data(clean, clean.data.values.clamp(-rail, rail)))
    assert "clipping" in {found.name for found in report.faults}
    assert report["clipping"].numbers["channels"] >= 2 * planted.N_ELEMENTS


def test_what_arrives_far_from_water_warns_of_cycle_skips(clean):
    numbers = check(clean)["cycle skips"].numbers
    ahead = 2 * planted.CYLINDER_RADIUS * (1 / planted.WATER - 1 / planted.CYLINDER_SPEED)
    assert numbers["lag_p99"] == pytest.approx(ahead, rel=0.15)
    assert numbers["safe_frequency"] == pytest.approx(0.5 / numbers["lag_p99"])


def test_a_mended_scan_counts_no_condemned_channel(faulty, report):
    mended = mend(faulty, report)
    weights = mended.spectra(FREQUENCIES).weights
    assert torch.equal(weights[0] > 0, report.usable)
    turned = planted.many_faults().signs
    again = check(mended)
    assert not {"polarity", "dead", "noisy"} & {found.name for found in again.faults}
    assert torch.equal(mended.data.values[3, 5], turned[3] * turned[5] * faulty.data.values[3, 5])
    assert any("dead" in note for note in mended.notes)


def test_spectra_say_what_they_cannot_show(clean):
    report = check(with_spectra(clean))
    unknown = {found.name for found in report.checks if found.verdict is Verdict.UNKNOWN}
    assert {"noise floor", "clipping", "offset", "crosstalk", "synchronisation", "positions"} <= unknown
    assert all(found.text for found in report.checks)
    assert not report.faults, report.rows()
    assert {found.name for found in report.checks} == {found.name for found in check(clean).checks}


def test_faults_of_spectra_are_found(clean):
    scan = with_spectra(clean)
    assert isinstance(scan.data, Spectra)
    values = scan.data.values.clone()
    values[:, :, [4, 17]] *= -1
    values[:, 9] *= 1e-3
    values[:, 30, 2] *= 1e-6
    # Unknown weights of transmits must not matter.
    values *= torch.exp(
        2j * torch.pi * torch.rand(planted.N_ELEMENTS, 1, generator=torch.Generator().manual_seed(1))
    )
    report = check(replace(scan, data=replace(scan.data, values=values)))
    assert {found.name for found in report.faults} == {"dead", "polarity"}
    assert report["polarity"].numbers["receives"] == [4, 17]
    assert report["dead"].numbers["transmits"] == [9]
    assert report["dead"].numbers["channels"] == [[30, 2]]


def test_the_report_is_plain_json_and_two_figures_can_be_drawn(report, clean):
    text = json.dumps(report.as_dict(), allow_nan=False)
    assert json.loads(text)["dead"]["verdict"] == "fault"
    for drawn in (report, check(with_spectra(clean))):
        assert png(quality_figure(drawn, "scan.h5")).startswith(b"\x89PNG")


def test_data_in_which_nothing_travels_are_refused(clean):
    array = clean.array
    swapped = TransducerArray(array.positions.roll(24, dims=0) * 1.0, array.transmits, array.receives)
    mixed = replace(
        swapped, positions=array.positions[torch.randperm(48, generator=torch.Generator().manual_seed(2))]
    )
    with pytest.raises(InputError, match="check the order of the axes and the element positions"):
        check(replace(clean, array=mixed))
