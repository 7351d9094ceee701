"""Whose work is next."""

from __future__ import annotations

import math
import threading
import time

import pytest

from bioelx.linker import Mention
from bioelx.service.fair import FairQueue
from bioelx.service.jobs import Item, Job
from bioelx.types import LinkOptions, Query

RELEASE, OTHER = "a release", "another one"


def job(caller: str, *costs: int, release: str = RELEASE, deadline: float = math.inf) -> Job:
    """A job of mentions that have so many tokens."""
    made = Job(release, caller, deadline, [None] * len(costs))  # type: ignore[arg-type]
    mention = Mention("flu", Query.bare("flu"), LinkOptions())
    made.items = [Item(made, at, mention, tokens=[0] * cost) for at, cost in enumerate(costs)]
    return made


def queue_of(*jobs: Job, quantum: int = 8) -> FairQueue:
    queue = FairQueue(quantum, lambda item: item.cost)
    for each in jobs:
        queue.put(each.items)
    return queue


def taken(queue: FairQueue, room: int) -> list[Item]:
    batch: list[Item] = []
    queue.take(room, batch)
    return batch


def order(queue: FairQueue, room: int) -> list[Job]:
    """The jobs in the order in which they are served, each as often as in turn."""
    served: list[Job] = []
    while queue.waiting:
        for item in taken(queue, room):
            if not served or served[-1] is not item.job:
                served.append(item.job)
    return served


def test_a_batch_is_filled_by_tokens_and_never_empty():
    queue = queue_of(job("a", 3, 3, 3, 20, 1))
    sizes = []
    while queue.waiting:
        sizes.append([item.cost for item in taken(queue, 8)])
    assert sizes == [[3, 3], [3], [20], [1]]


def test_who_has_waited_longest_comes_first():
    jobs = [job("a", 4) for _ in range(5)]
    assert order(queue_of(*jobs), 100) == jobs


def test_a_small_job_does_not_stand_behind_all_of_a_large_one():
    large, small = job("a", *[4] * 50), job("a", 4, 4)
    first, second, *_ = order(queue_of(large, small), 8)
    assert (first, second) == (large, small)


def test_callers_get_equal_shares_however_much_they_ask_for():
    greedy, modest = [job("greedy", *[4] * 10) for _ in range(20)], job("modest", *[4] * 10)
    queue = queue_of(*greedy, modest)
    given = {"greedy": 0, "modest": 0}
    for _ in range(4):
        for item in taken(queue, 20):
            given[item.job.caller] += item.cost
    assert given["modest"] == 40
    assert given["greedy"] == 40


def test_who_comes_back_is_owed_nothing_for_the_time_away():
    queue = queue_of(*[job("busy", 8) for _ in range(20)])
    for _ in range(10):
        taken(queue, 8)
    queue.put(job("back", *[8] * 10).items)
    callers = [taken(queue, 8)[0].job.caller for _ in range(8)]
    assert callers.count("busy") == callers.count("back") == 4


def test_a_batch_is_of_one_release_and_releases_take_turns():
    one, two = job("a", *[4] * 6), job("a", *[4] * 6, release=OTHER)
    queue = queue_of(one, two)
    batches = [{item.job.engine for item in taken(queue, 8)} for _ in range(6)]
    assert batches == [{RELEASE}, {OTHER}] * 3


def test_a_caller_of_one_release_does_not_wait_for_what_was_done_in_another():
    crowd = [job(f"caller {i}", *[8] * 40) for i in range(10)]
    lonely = job("lonely", *[8] * 100, release=OTHER)
    queue = queue_of(*crowd, lonely)
    for _ in range(40):
        taken(queue, 8)
    late = job("late", 8)
    queue.put(late.items)
    assert late in {taken(queue, 8)[0].job for _ in range(2 * (len(crowd) + 1))}


@pytest.mark.parametrize("how", ["discarded", "abandoned", "late"])
def test_nothing_is_done_for_who_has_gone(how):
    gone, stays = job("a", 4, 4), job("b", 4)
    queue = queue_of(gone, stays)
    if how == "discarded":
        queue.discard(gone)
        assert queue.waiting == 4
    elif how == "abandoned":
        gone.abandoned = True
    else:
        gone.deadline = time.monotonic()
    assert [item.job for item in taken(queue, 100)] == [stays]
    assert queue.waiting == 0


def test_who_waits_for_work_gets_it_or_hears_that_there_is_none_to_come():
    queue = queue_of()
    seen: list[list[Item]] = []
    waiting = threading.Thread(target=lambda: seen.extend([taken(queue, 8), taken(queue, 8)]))
    waiting.start()
    queue.put(job("a", 4).items)
    while not seen and queue.waiting:
        time.sleep(0.001)
    queue.close()
    waiting.join(10)
    assert [len(batch) for batch in seen] == [1, 0]
