"""Who is taken on, who is turned away, and who waits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from bioelx.errors import OverloadedError
from bioelx.service import admission as module
from bioelx.service.admission import LEAST_TOKENS as LEAST
from bioelx.service.admission import Admission
from bioelx.settings import Limits

LIMITS = Limits(queue_tokens=100_000, queue_seconds=2.0)
MENTION = 8  # tokens, at first


async def enter(stack: AsyncExitStack, admission: Admission, tokens: int, caller: str = "a", **how):
    place = await stack.enter_async_context(admission.place(tokens // MENTION, 0, caller, **how))
    place.weigh(tokens, tokens // MENTION, 0)
    return place


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until a test moves it."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(module, "monotonic", lambda: Clock.now)
    return Clock


async def test_over_the_bound_a_caller_is_turned_away_until_there_is_room():
    admission = Admission(LIMITS)
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            for _ in range(3):
                await enter(first, admission, LEAST // 3)
            with pytest.raises(OverloadedError) as caught:
                await enter(stack, admission, MENTION)
            assert caught.value.retry_after > 0
            assert admission.rejected == 1
        await enter(stack, admission, MENTION)
    assert admission.tokens == 0


async def test_the_bound_is_what_can_be_answered_in_time(clock):
    admission = Admission(LIMITS)
    assert admission.bound == LEAST
    for _ in range(40):
        clock.now += 0.1
        admission.served(500, more=True)
    assert admission.tokens_per_second == pytest.approx(5000, rel=0.01)
    assert admission.bound == pytest.approx(5000 * LIMITS.queue_seconds, rel=0.01)
    for _ in range(400):
        clock.now += 0.1
        admission.served(50_000, more=True)
    assert admission.bound == LIMITS.queue_tokens


def measured(admission: Admission, clock, tokens_per_second: int) -> None:
    for _ in range(40):
        clock.now += 0.5
        admission.served(tokens_per_second // 2, more=True)


async def test_a_burst_may_fill_the_queue_and_what_stands_in_it_a_fifth(clock):
    admission = Admission(LIMITS)
    measured(admission, clock, 1000)
    whole = admission.bound
    async with AsyncExitStack() as stack:
        while admission.tokens < 0.9 * whole:
            await enter(stack, admission, MENTION)
        clock.now += module.STANDING_SECONDS / 2
        await enter(stack, admission, MENTION)  # still a burst
        clock.now += module.STANDING_SECONDS
        await enter(stack, admission, MENTION)
        assert admission.bound == whole // 5
        with pytest.raises(OverloadedError):
            await enter(stack, admission, MENTION)
    clock.now += module.CALM_SECONDS
    assert admission.bound == whole, "the next burst may come"


async def test_what_stands_in_the_queue_has_a_fifth_where_memory_is_the_bound(clock):
    limits = Limits(queue_tokens=2000, queue_seconds=2.0)
    admission = Admission(limits)
    measured(admission, clock, 100_000)
    assert admission.bound == limits.queue_tokens
    async with AsyncExitStack() as stack:
        while admission.tokens < 0.9 * limits.queue_tokens:
            await enter(stack, admission, MENTION)
        clock.now += 2 * module.STANDING_SECONDS
        await enter(stack, admission, MENTION)
        assert admission.bound == limits.queue_tokens // 5


@pytest.fixture
async def overloaded(clock):
    """What may do 1000 tokens a second, and has had too much to do for a while."""
    admission = Admission(LIMITS)
    measured(admission, clock, 1000)
    async with AsyncExitStack() as stack:
        for _ in range(admission.bound // MENTION - 1):
            await enter(stack, admission, MENTION)
        clock.now += 2 * module.STANDING_SECONDS
        await enter(stack, admission, MENTION)
        yield admission


async def turned_away(admission: Admission, tokens: int) -> None:
    with pytest.raises(OverloadedError):
        async with AsyncExitStack() as stack:
            await enter(stack, admission, tokens)


async def test_the_overload_goes_on_while_much_is_turned_away(overloaded, clock):
    short = overloaded.bound
    for _ in range(100):
        clock.now += 0.1
        await turned_away(overloaded, 40)  # 400 tokens a second
    assert overloaded.bound == short
    clock.now += 1.1 * module.CALM_SECONDS
    assert overloaded.bound > 4 * short, "nobody asks any more"


async def test_the_overload_is_over_when_hardly_any_are_turned_away(overloaded, clock):
    short = overloaded.bound
    for _ in range(100):
        clock.now += 0.2
        if overloaded.bound == short:
            await turned_away(overloaded, MENTION)  # 40 tokens a second
    assert overloaded.bound > 4 * short


async def test_a_large_request_may_wait_longer_than_a_small_one(clock):
    admission = Admission(LIMITS)
    measured(admission, clock, 500)
    call = 32 * MENTION
    async with AsyncExitStack() as stack:
        for _ in range(16):  # more than a queue of two seconds
            await enter(stack, admission, call)
        assert admission.tokens > 2 * admission.bound
        with pytest.raises(OverloadedError):
            await enter(stack, admission, MENTION)


async def test_an_idle_server_learns_no_rate(clock):
    admission = Admission(LIMITS)
    for _ in range(40):
        clock.now += 1
        admission.served(3, more=False)
    assert admission.tokens_per_second == 0


async def test_one_caller_does_not_keep_the_others_out():
    admission = Admission(LIMITS)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await enter(stack, admission, LEAST // 3, "greedy")
        await enter(stack, admission, LEAST // 3, "modest")
        with pytest.raises(OverloadedError):
            await enter(stack, admission, MENTION, "greedy")
        with pytest.raises(OverloadedError):
            await enter(stack, admission, LEAST // 3, "modest")  # more than its half
    assert admission.tokens == 0


async def test_many_callers_together_take_no_more_than_twice_the_bound():
    admission = Admission(LIMITS)
    async with AsyncExitStack() as stack:
        for number in range(100):
            with suppress(OverloadedError):
                while True:
                    await enter(stack, admission, MENTION, str(number))
        assert LEAST < admission.tokens <= 2 * LEAST


async def test_nobody_is_sent_away_for_hours(clock):
    admission = Admission(LIMITS)
    admission.served(1, more=True)
    for _ in range(5):
        clock.now += 1000
        admission.served(1, more=True)
    async with AsyncExitStack() as stack:
        refused = None
        while refused is None:
            try:
                await enter(stack, admission, LEAST // 3)
            except OverloadedError as error:
                refused = error
    assert refused.retry_after <= 60


async def test_a_request_larger_than_the_queue_finds_room_and_leaves_some():
    admission = Admission(LIMITS)
    async with AsyncExitStack() as stack:
        large = await enter(stack, admission, 50 * LEAST)
        assert large.tokens == LEAST // 2
        await enter(stack, admission, LEAST // 3)


async def test_what_was_in_the_cache_lately_lets_no_crowd_of_large_requests_in():
    admission = Admission(LIMITS)
    for _ in range(100):
        async with admission.place(32, 0, "a") as place:
            place.weigh(0, 32, 0)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(admission.place(4096, 0, "a"))
        with pytest.raises(OverloadedError):
            await stack.enter_async_context(admission.place(4096, 0, "a"))


async def test_documents_weigh_too():
    admission = Admission(LIMITS)
    async with admission.place(1, 40 * 1024, "a"):
        assert admission.tokens == 40


async def test_the_patient_wait_in_their_order_and_take_half_at_most():
    admission = Admission(LIMITS)
    came: list[int] = []

    async def wait(number: int, leave: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            await enter(stack, admission, LEAST // 3, patient=True)
            came.append(number)
            await leave.wait()

    leave = [asyncio.Event() for _ in range(4)]
    waiting = [asyncio.create_task(wait(i, each)) for i, each in enumerate(leave)]
    await asyncio.sleep(0.01)
    assert came == [0]
    async with AsyncExitStack() as stack:
        await enter(stack, admission, LEAST // 2)  # the other half is for those in a hurry
        waiting[1].cancel()
        leave[0].set()
        await asyncio.sleep(0.01)
        assert came == [0, 2]
        leave[2].set()
        leave[3].set()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert came == [0, 2, 3]
    assert admission.tokens == 0


async def test_callers_who_wait_take_turns():
    admission = Admission(LIMITS)
    came: list[str] = []

    async def wait(caller: str) -> None:
        async with AsyncExitStack() as stack:
            await enter(stack, admission, LEAST // 3, caller, patient=True)
            came.append(caller)
            await asyncio.sleep(0)

    await asyncio.gather(*(wait(caller) for caller in ["greedy"] * 6 + ["modest"] * 2))
    assert came == ["greedy", "greedy", "modest", "greedy", "modest", *["greedy"] * 3]
    assert admission.tokens == 0


async def test_who_is_cancelled_as_his_turn_comes_takes_no_room_with_him():
    admission = Admission(LIMITS)
    async with AsyncExitStack() as stack:
        await enter(stack, admission, LEAST // 2, patient=True)

        async def wait() -> None:
            async with admission.place(2, 0, "b", patient=True):
                await asyncio.sleep(60)

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
    waiting.cancel()  # after it was called, before it has heard
    await asyncio.gather(waiting, return_exceptions=True)
    assert admission.tokens == 0
    async with admission.place(2, 0, "c", patient=True):
        pass
