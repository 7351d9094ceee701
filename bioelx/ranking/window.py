"""The part of a document around a mention that a ranker reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bioelx.types import Query

WINDOW_CHARS = 1_200
"""More than a ranker's budget in tokens holds of nearly any text; bounds the work on a long one."""

_BROKEN_WORD = re.compile(r"\S{0,19}\s")
"""What is left of a word at a cut; longer stretches are scripts without spaces, or no words."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of text with the mention in it: `before + mention + after`."""

    before: str
    mention: str
    after: str


def window_around(query: Query, *, chars: int = WINDOW_CHARS) -> Window:
    """Cuts about `chars` code points around the mention, as many before it as after it.

    Where one side is short the other takes its share. The mention itself is never cut. Cuts fall
    between words where there is a space nearby.
    """
    before, after = query.text[: query.start], query.text[query.end :]
    left, right = share(chars - len(query.mention), len(before), len(after))
    return Window(end_of(before, left), query.mention, end_of(after[::-1], right)[::-1])


def share(room: int, before: int, after: int) -> tuple[int, int]:
    """Splits `room` between two sides of the given sizes, evenly unless one of them needs less."""
    room = max(0, room)
    left = min(before, max(room // 2, room - after))
    return left, min(after, room - left)


def end_of(text: str, room: int) -> str:
    """The last `room` code points of `text`, less what is left of a word that the cut breaks."""
    start = max(0, len(text) - room)
    if start > 0 and not text[start - 1].isspace() and (broken := _BROKEN_WORD.match(text, start)):
        start = broken.end()
    return text[start:]
