import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from loadtests.recorder import Recorder

MS = 1_000_000
S = 1_000 * MS


def opened() -> Recorder:
    recorder = Recorder()
    recorder.open(0)
    return recorder


def record(recorder: Recorder, began_ns: int, elapsed_ns: int, images: int = 1, batch: int = 0, **server_ns: int):
    recorder.success(began_ns, began_ns + elapsed_ns, images, server_ns, batch)


@pytest.mark.parametrize("size", [1, 2, 999, 20_000])
def test_percentiles_agree_with_the_raw_latencies_to_three_digits(size):
    raw_ns = (np.random.default_rng(size).lognormal(0, 1.2, size) * MS).astype(np.int64) + 1_000
    recorder = opened()
    for elapsed in raw_ns:
        record(recorder, 0, int(elapsed))
    recorder.close(S)
    found, raw_ms = recorder.latency_ms(), raw_ns / MS
    for percentile, value in ((50, found.p50), (90, found.p90), (95, found.p95), (99, found.p99), (99.9, found.p999)):
        # Between two neighbouring measurements either is a fair percentile; the histogram adds 0.1 % and 0.5 µs.
        below = np.percentile(raw_ms, percentile, method="lower")
        above = np.percentile(raw_ms, percentile, method="higher")
        assert below * 0.999 - 0.0005 <= value <= above * 1.001 + 0.0005
    assert found.mean == pytest.approx(raw_ms.mean())
    assert found.max == pytest.approx(raw_ms.max())


def test_percentiles_below_a_millisecond_keep_their_microseconds():
    recorder = opened()
    for microseconds in range(101, 201):
        record(recorder, 0, microseconds * 1_000)
    assert recorder.percentile_ms(50) == pytest.approx(0.150, abs=0.001)
    assert recorder.percentile_ms(99) == pytest.approx(0.199, abs=0.001)


def test_a_stall_of_one_second_shows_in_the_highest_percentiles():
    recorder = opened()
    for _ in range(3_990):
        record(recorder, 0, MS)
    for _ in range(8):
        record(recorder, 0, S)
    recorder.close(2 * S)
    found = recorder.latency_ms()
    assert found.max == 1000
    assert found.p999 == pytest.approx(1000, rel=1e-3)
    assert found.p99 == pytest.approx(1, rel=1e-3)


def test_no_percentile_exceeds_the_maximum():
    recorder = opened()
    record(recorder, 0, 1_234_567)
    found = recorder.latency_ms()
    assert max(found.p50, found.p999) <= found.max == pytest.approx(1.234567)


def test_warm_up_requests_count_neither_as_latency_nor_as_error():
    recorder = Recorder()
    record(recorder, 1, MS)
    recorder.failure(2, "UNAVAILABLE")
    recorder.open(10 * MS)
    record(recorder, 9 * MS, 3 * MS)
    recorder.failure(9 * MS, "UNAVAILABLE")
    recorder.close(20 * MS)
    assert recorder.requests == 0
    assert recorder.errors == {}
    assert recorder.latency_ms().max == 0


def test_a_request_that_began_in_the_window_counts_however_late_it_ends():
    recorder = opened()
    recorder.close(S)
    record(recorder, S - 1, 30 * S)
    record(recorder, S, MS)
    assert recorder.requests == 1
    assert recorder.latency_ms().max == 30_000


def test_throughput_counts_images_that_arrived_in_the_window():
    recorder = Recorder()
    recorder.open(1 * S)
    record(recorder, 0, 2 * S, images=4)  # Under way at the opening.
    record(recorder, 2 * S, S - 1, images=4)
    recorder.close(3 * S)
    record(recorder, 2 * S, 2 * S, images=4)  # Under way at the closing.
    assert recorder.seconds == 2
    assert recorder.throughput == 8 / 2


def test_the_mean_batch_is_per_executed_batch_and_not_per_request():
    recorder = opened()
    for _ in range(8):
        record(recorder, 0, MS, images=1, batch=8)
    record(recorder, 0, MS, images=1, batch=1)
    assert recorder.mean_batch == pytest.approx(9 / 2)


def test_a_server_that_reports_nothing_gives_no_phases_and_no_batch():
    recorder = opened()
    record(recorder, 0, MS)
    assert recorder.server_ms() == {}
    assert recorder.mean_batch == 0


def test_server_phases_are_means_per_request_in_milliseconds():
    recorder = opened()
    record(recorder, 0, MS, queue=MS, infer=2 * MS)
    record(recorder, 0, MS, queue=3 * MS, infer=2 * MS)
    assert recorder.server_ms() == {"infer": 2, "queue": 2}


def test_errors_are_counted_by_code():
    recorder = opened()
    for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNAVAILABLE"):
        recorder.failure(5, code)
    assert recorder.errors == {"UNAVAILABLE": 2, "DEADLINE_EXCEEDED": 1}


def test_a_test_without_an_answer_summarises_to_zeros():
    recorder = opened()
    recorder.close(S)
    found = recorder.latency_ms()
    assert set(found.model_dump().values()) == {0}
    assert (recorder.throughput, recorder.seconds) == (0, 1)


def test_only_queries_sent_more_than_a_millisecond_after_they_were_due_are_late():
    recorder = opened()
    for late_ns in (0, MS, MS + 1, 5 * MS):
        recorder.success(5, 5 + 9 * MS, 1, {}, 0, late_ns)
    recorder.failure(5, "UNAVAILABLE", 2 * MS)
    assert recorder.late_share == 3 / 5
    assert recorder.lateness_ms().max == 5


def test_a_closed_loop_has_no_lateness():
    recorder = opened()
    record(recorder, 0, MS)
    assert recorder.late_share is None
    assert recorder.lateness_ms() is None


def test_failed_queries_count_as_over_the_bound():
    recorder = Recorder(bound_ms=10)
    recorder.open(0)
    record(recorder, 0, 10 * MS)
    record(recorder, 0, 10 * MS + 1)
    recorder.failure(0, "UNAVAILABLE")
    assert recorder.over_bound == 2
    assert opened().over_bound is None


def test_the_upper_bound_of_a_percentile_is_an_order_statistic_and_absent_where_queries_are_too_few():
    recorder = opened()
    for number in range(662):
        record(recorder, 0, (number + 1) * MS)
    upper = recorder.upper_ms()
    assert upper.keys() == {"p50", "p90", "p95", "p99"}
    assert upper["p99"] == pytest.approx(661, rel=1e-3)  # One may lie above.
    recorder.failure(0, "UNAVAILABLE")
    assert recorder.upper_ms()["p99"] == pytest.approx(662, rel=1e-3)
    recorder.failure(0, "UNAVAILABLE")
    assert "p99" not in recorder.upper_ms()


def test_p99_of_151_queries_is_the_second_slowest():
    """Rank ⌈149.49⌉ = 150; the nearest rank, 149, would leave two queries above, more than one in a hundred."""
    recorder = opened()
    for milliseconds in range(1, 152):
        record(recorder, 0, milliseconds * MS)
    recorder.close(S)
    assert recorder.latency_ms().p99 == pytest.approx(150, rel=1e-3)


def test_the_stored_histogram_gives_the_same_percentiles_again():
    recorder = opened()
    for elapsed in np.random.default_rng(0).lognormal(1, 1, 5_000):
        record(recorder, 0, int(elapsed * MS))
    again = HdrHistogram.decode(recorder.histogram())
    assert again.get_total_count() == 5_000
    assert again.get_value_at_percentile(99) / 1000 == recorder.latency_ms().p99
