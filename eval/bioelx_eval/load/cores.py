"""Which cores a process runs on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


def own_cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def pin(pid: int, cores: Collection[int]) -> None:
    """Keeps a process, with the threads that it has and will have, on these cores. Linux only."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setaffinity(int(task.name), cores)


def shares(threads: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The cores of the load generator and of a server with so many threads, 0 for as many as there
    are: cores of their own if there are enough, else all for both."""
    cores = own_cores()
    if not 0 < threads < len(cores):
        return cores, cores
    return cores[:-threads], cores[-threads:]


def named(cores: Sequence[int]) -> str:
    """Cores in words."""
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Keeps this process on these cores for as long as it is needed."""
    before = own_cores()
    pin(os.getpid(), cores)
    try:
        yield
    finally:
        pin(os.getpid(), before)
