"""The part of a document around a mention that a ranker reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bioelx.types import Query

_BROKEN_WORD = re.compile(r"\S{0,19}\s")
"""What is left of a word at a cut; longer stretches are scripts without spaces, or no words."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of text with the mention in it: `before + mention + after`."""

    before: str
    mention: str
    after: str


def window_around(query: Query, *, chars: int = 600) -> Window:
    """Cuts about `chars` code points around the mention, as many before it as after it.

    Where one side is short the other takes its share. The mention itself is never cut. Cuts fall
    between words where there is a space nearby.
    """
    room = chars - (query.end - query.start)
    before, after = share(room, query.start, len(query.text) - query.end)
    start, end = query.start - before, query.end + after
    head, tail = query.text[start : query.start], query.text[query.end : end]
    if start > 0:
        head = _drop_broken_word(head)
    if end < len(query.text):
        tail = _drop_broken_word(tail[::-1])[::-1]
    return Window(head, query.mention, tail)


def share(room: int, before: int, after: int) -> tuple[int, int]:
    """Splits `room` between two sides of the given sizes, evenly unless one of them needs less."""
    room = max(0, room)
    left = min(before, max(room // 2, room - after))
    return left, min(after, room - left)


def _drop_broken_word(text: str) -> str:
    broken = _BROKEN_WORD.match(text)
    return text[broken.end() :] if broken else text
