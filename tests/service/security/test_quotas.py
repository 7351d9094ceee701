"""Quotas, with a clock of the test's own."""

from __future__ import annotations

import pytest

from bioelx.errors import OverloadedError
from bioelx.service.caller import Caller, Role
from bioelx.service.security.quotas import Quota, Quotas, spending

CALLER = Caller("ward", Role.LINK, mentions_per_minute=120, calls_in_flight=2)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def quota(clock):
    return Quota(clock)


def refused(quota: Quota, mentions: int) -> float:
    with pytest.raises(OverloadedError) as caught:
        quota.spend(mentions, CALLER)
    return caught.value.retry_after


def test_mentions_refill_and_the_delay_is_when_there_are_enough(quota, clock):
    quota.spend(120, CALLER)
    delay = refused(quota, 30)
    assert delay == pytest.approx(15)
    clock.now += delay - 0.1
    assert refused(quota, 30) == pytest.approx(0.1)
    clock.now += 0.1001
    quota.spend(30, CALLER)
    clock.now += 3600
    quota.spend(120, CALLER)  # no more than a minute's worth was saved up
    assert refused(quota, 1) == pytest.approx(0.5)


def test_more_than_a_minutes_worth_is_let_in_when_nothing_was_asked_and_paid_for_later(
    quota, clock
):
    quota.spend(240, CALLER)
    assert refused(quota, 1) == pytest.approx(60.5)
    clock.now += 119
    assert refused(quota, 240) == pytest.approx(1)
    clock.now += 1.001
    quota.spend(240, CALLER)


def test_a_clock_that_stands_still_or_a_caller_without_a_quota(quota):
    for _ in range(3):
        quota.spend(10**9, Caller("free", Role.LINK))
    quota.spend(100, CALLER)
    quota.spend(20, CALLER)
    refused(quota, 1)


async def test_what_the_server_is_too_busy_for_costs_nothing():
    quotas = Quotas()
    with quotas.call(CALLER):
        for _ in range(3):
            with pytest.raises(OverloadedError, match="overloaded"):
                async with spending(120):
                    raise OverloadedError(1.0)
        async with spending(120):
            pass
        with pytest.raises(OverloadedError, match="mentions a minute"):
            async with spending(1):
                pass


def test_calls_are_counted_by_name_until_they_end():
    quotas = Quotas()
    with quotas.call(CALLER):
        with quotas.call(CALLER):
            with pytest.raises(OverloadedError), quotas.call(CALLER):
                pass
            with quotas.call(Caller("other", Role.LINK, calls_in_flight=1)):
                pass
        with quotas.call(CALLER):
            pass


async def test_what_comes_after_a_call_is_not_at_its_cost():
    with Quotas().call(CALLER):
        pass
    for _ in range(3):
        async with spending(100):
            pass
