"""What a cross-encoder reads of a window and a candidate, as pieces.

    <s> before mention after </s> document </s>

Where the mention is, and where the candidate begins, is said beside the pieces, by a segment for
each: no text can forge that, and it takes no piece of the budgets.
"""

from __future__ import annotations

from typing import NamedTuple

from tokenizers import Tokenizer

from bioelx.ranking.texts import Texts
from bioelx.ranking.window import Window
from bioelx.types import Candidate

WINDOW, MENTION, CANDIDATE = 0, 1, 2
SEGMENTS = 3
_SPECIAL = ("<s>", "</s>", "<unk>", "<pad>", "<mask>")
_SLACK = 32
"""Pieces beyond both budgets, for the marks between the texts and for texts that, once cut, fall
into more pieces than they were counted as."""


class Pieces(NamedTuple):
    """A part of what is read: piece ids, and the segment of each."""

    ids: list[int]
    segments: list[int]

    def __add__(self, other: Pieces) -> Pieces:  # type: ignore[override]
        return Pieces(self.ids + other.ids, self.segments + other.segments)


class PairBuilder:
    """Turns windows and candidates into pieces with the tokenizer of the model that reads them.

    Args:
        window_tokens, candidate_tokens: see `Texts`.

    Raises:
        ValueError: the tokenizer lacks a piece that marks where a text begins or ends.
    """

    def __init__(self, tokenizer: Tokenizer, *, window_tokens: int, candidate_tokens: int) -> None:
        ids = {piece: tokenizer.token_to_id(piece) for piece in _SPECIAL}
        if absent := [piece for piece in _SPECIAL[:3] if ids[piece] is None]:
            raise ValueError(f"its tokenizer has no piece {absent[0]}")
        self._start, self._end, self._unknown = (ids[piece] for piece in _SPECIAL[:3])
        self._special = {each for each in ids.values() if each is not None}
        self._texts = Texts(
            tokenizer, window_tokens=window_tokens, candidate_tokens=candidate_tokens
        )
        self._longest_tail = candidate_tokens + _SLACK // 2
        self._longest_part = window_tokens + _SLACK // 4
        self.longest = window_tokens + candidate_tokens + _SLACK
        """Pieces of a pair at most."""

    def head(self, window: Window) -> Pieces:
        """All up to the candidate."""
        cut = self._texts.window(window)
        # A tokenizer of such a vocabulary puts a space of its own before each text.
        parts = (cut.before.strip(), cut.mention.strip(), cut.after.strip())
        before, mention, after = map(self._ids, parts)
        # What sets a bound where a cut text falls into many more pieces than it was counted as;
        # the mention is the last to go.
        mention = mention[: self._longest_part]
        room = self._longest_part - len(mention)
        before = before[len(before) - min(len(before), room) :]
        after = after[: room - len(before)]
        ids = [self._start, *before, *mention, *after, self._end]
        segments = [WINDOW] * len(ids)
        at = 1 + len(before)
        segments[at : at + len(mention)] = [MENTION] * len(mention)
        return Pieces(ids, segments)

    def tail(self, candidate: Candidate) -> Pieces:
        """All from the candidate on."""
        ids = self._ids(self._texts.document(candidate))[: self._longest_tail - 1]
        return Pieces([*ids, self._end], [CANDIDATE] * (len(ids) + 1))

    def _ids(self, text: str) -> list[int]:
        """The pieces of a text, in which "</s>" is no end, though the vocabulary has it."""
        return [self._unknown if each in self._special else each for each in self._texts.ids(text)]
