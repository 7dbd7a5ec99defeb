import pytest

from loadtests.server_side import CPU, Reading, account, phases_ms
from services.client.tensors import ModelStatistics


def reading(images: int, cpu_s: float | None = None, at: float = 0.0, queue_ns: int = 0) -> Reading:
    return Reading(ModelStatistics(images, images, images // 2, {"queue": queue_ns}), cpu_s, at)


def test_a_servers_account_is_what_lies_between_two_readings() -> None:
    found = account(reading(100, 5.0, 1.0), reading(300, 5.4, 3.0))
    assert found is not None
    assert (found.images, found.batches, found.seconds) == (200, 100, 2.0)
    assert found.cpu_ms_per_image == pytest.approx(2.0)


def test_without_a_metrics_page_there_is_no_cpu_time() -> None:
    found = account(reading(0), reading(10))
    assert found is not None
    assert found.cpu_ms_per_image is None


def test_a_server_that_tells_nothing_or_started_anew_has_no_account() -> None:
    silent = Reading(None, None, 0.0)
    assert account(silent, silent) is None
    assert account(reading(50), reading(3)) is None
    assert phases_ms(silent, silent) == {}


def test_phases_are_means_per_request() -> None:
    assert phases_ms(reading(0), reading(4, queue_ns=8_000_000)) == {"queue": 2.0}
    assert phases_ms(reading(4), reading(4)) == {}


def test_the_cpu_time_is_read_from_a_prometheus_page() -> None:
    page = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\nother 1\n"
    found = CPU.search(page)
    assert found is not None
    assert float(found[1]) == 12.5
