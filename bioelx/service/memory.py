"""Memory that nobody uses any more, back to the system."""

from __future__ import annotations

import ctypes
import gc


def give_back_memory() -> None:
    """Frees what is left of a release, and returns to the system what the allocator kept of it.

    A failed call's traceback may hold on to a release in a cycle, so cycles are looked for first.
    glibc keeps what was freed between blocks still in use; `malloc_trim` returns those pages. Where
    the C library has no such function, freed memory is used again, by the next release at the
    latest.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
