"""A cache that is bounded in bytes."""

from __future__ import annotations

import tracemalloc

import pytest

from bioelx.service.cache import ENTRY_BYTES, Cache
from bioelx.types import LinkOptions


def put(cache: Cache, text: str, size: int = 1000) -> None:
    cache.put([text], ("answer", text, "de", LinkOptions()), b"x" * size, size)


def held(cache: Cache, text: str) -> bool:
    return cache.get(("answer", text, "de", LinkOptions())) is not None


def test_what_was_used_last_is_kept():
    cache = Cache(4 * (1000 + ENTRY_BYTES + 60))
    for text in "abcd":
        put(cache, text)
    assert held(cache, "a")
    put(cache, "e")
    assert [text for text in "abcde" if held(cache, text)] == list("acde")
    assert cache.snapshot().entries == 4


def test_the_bound_is_kept_and_what_is_larger_is_not_held():
    cache = Cache(20_000)
    for i in range(1000):
        put(cache, f"mention {i % 40}", 100 + 13 * (i % 97))
        assert cache.snapshot().bytes <= 20_000
    before = cache.snapshot()
    put(cache, "huge", 20_000)
    assert not held(cache, "huge")
    assert cache.snapshot() == before


def test_a_value_that_is_put_again_counts_once():
    cache = Cache(100_000)
    put(cache, "flu", 500)
    first = cache.snapshot()
    put(cache, "flu", 700)
    assert cache.snapshot().bytes == first.bytes + 200
    assert cache.snapshot().entries == 1


def test_without_bytes_nothing_is_held():
    cache = Cache(0)
    put(cache, "flu")
    assert not held(cache, "flu")
    assert cache.snapshot().bytes == 0


@pytest.mark.parametrize("languages", [0, 2, 200])
def test_the_bytes_are_those_that_the_process_pays(languages):
    cache = Cache(2**30)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for i in range(500):
        # As a request brings it: nothing of the key is shared with another entry.
        tags = tuple(f"de-x-{i}-{j}" for j in range(languages))
        options = LinkOptions(top_k=10, label_languages=tags)
        text = f"a mention of some length, number {i}"
        value = bytes(1500)
        cache.put((text, *tags), ("answer", text, "de", options), value, len(value))
    paid = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.7 * cache.snapshot().bytes < paid <= cache.snapshot().bytes
