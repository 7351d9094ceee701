"""Threads for what would hold the event loop up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


def start_threads(count: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads are all there from the beginning: those of a server are then as many
    after a year as after a minute, and a system that gives too few of them says so at the start.

    Raises:
        RuntimeError: the system gives no more threads.
    """
    pool = ThreadPoolExecutor(count, name)
    all_started = Barrier(count + 1)
    try:
        for _ in range(count):
            pool.submit(all_started.wait)
        all_started.wait()
    except BaseException:
        all_started.abort()  # those that wait for the others would never end
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return pool
