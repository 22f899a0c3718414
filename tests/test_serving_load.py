"""The load run counts what it did, and stays within its bounds."""

import threading
import time

import pytest

from tfgpr.serving import load


def test_as_many_clients_as_asked_for_work_at_a_time():
    together = threading.Barrier(4, timeout=30)  # breaks unless 4 wait at once
    found = load.measure(together.wait, clients=4, batch=2, seconds=60, requests=12)
    assert found["requests"] == 12
    assert found["images_per_second"] == pytest.approx(2 * found["requests_per_second"])
    assert 0 <= found["p50"] <= found["p95"] <= found["p99"]


def test_no_request_starts_after_the_time_is_over():
    found = load.measure(lambda: time.sleep(0.02), clients=2, batch=1, seconds=0, requests=1000)
    assert found["requests"] <= 2


def test_a_failure_ends_the_run():
    calls = []

    def fail():
        calls.append(None)
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        load.measure(fail, clients=3, batch=1, seconds=60, requests=100)
    assert len(calls) <= 3
