from __future__ import annotations

import random

import pytest

from airflow_provider_kaleyra.campaign.rate_limit import RateLimit


def sent(limit: RateLimit, seconds: float, late=lambda: 0.0, start: float = 0.0) -> list[float]:
    """When messages are sent, if each wake-up is late by *late*."""
    now, times = start, []
    while now < start + seconds:
        wait = limit.take(now)
        if wait:
            now += wait + late()
        else:
            times.append(now)
    return times


def busiest(times: list[float], span: float = 1.0) -> int:
    first, most = 0, 0
    for index, when in enumerate(times):
        while times[first] <= when - span:
            first += 1
        most = max(most, index - first + 1)
    return most


@pytest.mark.parametrize("rate", [1, 3, 20, 80, 500, 1000])
@pytest.mark.parametrize("lateness", [0.0, 0.001, 0.01])
def test_the_rate_is_never_exceeded_in_any_second_and_nearly_reached(rate, lateness):
    chance = random.Random(rate)
    times = sent(RateLimit(rate), 20, lambda: chance.uniform(0, lateness))
    assert busiest(times) <= rate
    assert len(times) >= 0.98 * rate * 20


@pytest.mark.parametrize("stall", [0.3, 2.0])
def test_after_a_stall_nothing_is_caught_up_beyond_the_rate(stall):
    chance = random.Random(1)
    times = sent(RateLimit(100), 20, lambda: stall if chance.random() < 0.01 else 0.0)
    assert busiest(times) <= 100


def test_a_rate_below_one_a_second_is_kept():
    times = sent(RateLimit(0.5), 60)
    assert len(times) == pytest.approx(30, abs=1)
    assert busiest(times) == 1


def test_nothing_is_sent_during_a_pause_and_half_the_rate_after_it():
    limit = RateLimit(100)
    sent(limit, 3)
    assert limit.pause(3.0, 2.0) == 2.0
    times = sent(limit, 40, start=3.0)
    assert times[0] == pytest.approx(5.0)
    assert sum(when < 6.0 for when in times) == pytest.approx(50, rel=0.1)
    assert sum(20.0 <= when < 21.0 for when in times) == pytest.approx(99, abs=2)


def test_rejections_of_one_burst_halve_the_rate_once():
    limit = RateLimit(100)
    sent(limit, 1)
    for late in range(50):
        limit.pause(1.0 + late / 100, 1.0)
    assert limit.fraction(2.6) == pytest.approx(0.5, abs=0.05)


def test_without_a_retry_after_each_pause_is_twice_as_long():
    limit = RateLimit(100)
    now, waits = 0.0, []
    for _ in range(8):
        waits.append(limit.pause(now, None))
        now += waits[-1] + 0.1
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_at_full_rate_again_the_first_guess_is_short_again():
    limit = RateLimit(100)
    limit.pause(0.0, None)
    limit.pause(1.5, None)
    assert limit.pause(100.0, None) == 1.0


def test_a_fraction_allows_the_next_whole_number_in_a_second_and_keeps_the_rate_over_time():
    times = sent(RateLimit(2.5), 60)
    assert busiest(times) == 3
    assert busiest(times, 1.2) == 3
    assert len(times) == pytest.approx(150, abs=4)


@pytest.mark.parametrize(("pauses", "seconds"), [(1, 10.0), (2, 15.0), (3, 17.5), (4, 18.75), (5, 18.75)])
def test_the_full_rate_is_back_after_ten_to_nineteen_seconds(pauses, seconds):
    limit, now = RateLimit(100), 0.0
    for _ in range(pauses):
        limit.pause(now, 1.0)
        now += 1.0
    assert limit.fraction(now + seconds - 0.1) < 1.0
    assert limit.fraction(now + seconds) == pytest.approx(1.0)
