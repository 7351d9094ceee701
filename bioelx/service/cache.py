"""What was found before, for mentions that come again.

Held in memory only and for one release only: it goes when the release goes. Nothing in it depends
on a mention's document, so no patient's text decides over another's answer.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

ENTRY_BYTES = 700
"""What an entry takes beside the strings of its key and its value: the key's tuples and options,
two places in a dictionary, the record of its size; measured with tracemalloc, rounded up."""
_PLACE_BYTES = 8  # of a string in a tuple


@dataclass(slots=True)
class CacheStats:
    """Mentions whose answer was there or not, and what is held now."""

    hits: int = 0
    misses: int = 0
    entries: int = 0
    bytes: int = 0


class Cache:
    """The values that were used last, up to so many bytes; may be shared by threads.

    Not a library's: those count entries, or ask for a size of every value alone, and would be
    called under a lock of ours all the same.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: bytes; 0 keeps nothing."""
        self._stats = CacheStats()
        self._limit = limit
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Any:
        """The value last put under a key, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, texts: Iterable[str], key: Hashable, value: Any, size: int) -> None:
        """Keeps a value; what was not used for longest makes room.

        Args:
            texts: the parts of the key by which it grows: the mention, what its options list.
            size: bytes of the value.
        """
        size += sum(sys.getsizeof(text) + _PLACE_BYTES for text in texts) + ENTRY_BYTES
        if size > self._limit:
            return
        with self._lock:
            before = self._held.pop(key, None)
            self._held[key] = value, size
            self._stats.bytes += size - (before[1] if before else 0)
            while self._stats.bytes > self._limit:
                _, (_, freed) = self._held.popitem(last=False)
                self._stats.bytes -= freed
            self._stats.entries = len(self._held)

    def snapshot(self) -> CacheStats:
        with self._lock:
            return replace(self._stats)

    def count(self, hits: int, misses: int) -> None:
        """Counts mentions whose answer was there, and those that had to be looked for."""
        with self._lock:
            self._stats.hits += hits
            self._stats.misses += misses
