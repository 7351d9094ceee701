"""When a failed call is made again, and how long after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.errors import InvalidRequestError, NotFoundError, OverloadedError, ServiceError
from bioelx.retries import NO_RETRIES, Retries, Tries

UNAVAILABLE = ServiceError("UNAVAILABLE", "no server")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def longest(_: float, most: float) -> float:
    return most


def test_pauses_grow_up_to_the_longest_and_end_with_the_tries() -> None:
    tries = Tries(Retries(5, 0.1, 0.5), 60, Clock(), longest)
    pauses = [tries.pause_after(UNAVAILABLE) for _ in range(5)]
    assert pauses == [0.1, 0.2, 0.4, 0.5, None]


def test_pauses_are_drawn_so_that_callers_spread() -> None:
    pauses = {Tries(Retries(), 60).pause_after(UNAVAILABLE) for _ in range(100)}
    assert len(pauses) > 90
    assert all(pause is not None and 0 <= pause <= 0.1 for pause in pauses)


def test_the_servers_word_comes_before_the_pause() -> None:
    tries = Tries(Retries(), 60, Clock(), longest)
    assert tries.pause_after(OverloadedError(3.0)) == pytest.approx(3.1)
    assert tries.pause_after(OverloadedError(0.0)) == pytest.approx(0.2)


def test_nobody_waits_for_a_try_that_the_deadline_forbids() -> None:
    clock = Clock()
    tries = Tries(Retries(), 10, clock, longest)
    assert tries.pause_after(OverloadedError(30)) is None
    assert tries.pause_after(OverloadedError(9)) is not None
    clock.now += 2
    assert tries.left() == 8
    assert tries.pause_after(OverloadedError(9)) is None
    clock.now += 9
    assert tries.left() == 0
    assert tries.pause_after(UNAVAILABLE) is None


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("documents[0].text", "is too long"),
        NotFoundError("no such concept"),
        *(
            ServiceError(code, "")
            for code in (
                "INTERNAL",
                "DEADLINE_EXCEEDED",
                "UNAUTHENTICATED",
                "PERMISSION_DENIED",
                "ABORTED",
                "CANCELLED",
                "UNKNOWN",
                "FAILED_PRECONDITION",
                "UNIMPLEMENTED",
            )
        ),
        ServiceError("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max (9 vs. 4)"),
    ],
    ids=str,
)
def test_what_will_not_pass_is_not_tried_again(error) -> None:
    assert Tries(Retries(), 60).pause_after(error) is None


def test_without_retries_there_is_one_try() -> None:
    assert Tries(NO_RETRIES, 60).pause_after(UNAVAILABLE) is None


@given(st.integers(1, 2000), st.floats(0, 10), st.floats(0, 100), st.floats(0.001, 1000))
def test_waiting_never_goes_past_the_deadline(
    count: int, first: float, most: float, timeout: float
) -> None:
    clock = Clock()
    tries = Tries(Retries(count, first, most), timeout, clock)
    made = 1
    while (pause := tries.pause_after(UNAVAILABLE)) is not None:
        assert 0 <= pause <= most
        clock.now += pause
        made += 1
        assert clock.now < 1000 + timeout
    assert made <= count
