"""What rankers read of a window and of a candidate: cleaned, and cut to budgets in tokens.

Each ranker puts these texts into a form of its own: a prompt (`prompt.py`), or pieces of a
cross-encoder (`pairs.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from tokenizers import Tokenizer

from bioelx.ranking.window import Window, end_of, share
from bioelx.types import Candidate

WINDOW_TOKENS = 128
CANDIDATE_TOKENS = 128

_TAG = re.compile(r"<(/?(?:mention|instruct|query|document))>", re.IGNORECASE)
_TELLING = 3  # names that are cut only when they alone are too long; the others go first
_CUT = "…"


class Texts:
    """Cuts texts with the tokenizer of the model that reads them.

    Args:
        window_tokens: budget for the window, shared evenly around the mention.
        candidate_tokens: budget for a candidate's document. Both hold to within a few tokens: a
            text cut between two tokens may fall into others than it was cut from.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        window_tokens: int = WINDOW_TOKENS,
        candidate_tokens: int = CANDIDATE_TOKENS,
    ) -> None:
        self._window_tokens = window_tokens
        self._candidate_tokens = candidate_tokens
        # Texts are encoded without the added tokens: "<|im_end|>" in a document is plain text.
        self._plain = Tokenizer(tokenizer.model)
        self._plain.normalizer = tokenizer.normalizer
        self._plain.pre_tokenizer = tokenizer.pre_tokenizer

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, none of them an added one."""
        ids: list[int] = self._plain.encode(text).ids
        return ids

    def window(self, window: Window) -> Window:
        """The window on one line, within the budget, cut between words.

        A mention that exceeds the budget ends in "…".
        """
        mention = self._shorten(_harmless(window.mention), self._window_tokens)
        before, after = _harmless(window.before), _harmless(window.after)
        before_spans, after_spans = self._spans(before), self._spans(after)
        room = self._window_tokens - self._count(mention)
        left, right = share(room, len(before_spans), len(after_spans))
        if left < len(before_spans):
            before = end_of(before, len(before) - before_spans[-left - 1][1])
        if right < len(after_spans):
            after = end_of(after[::-1], after_spans[right][0])[::-1]
        return Window(before, mention, after)

    def document(self, candidate: Candidate) -> str:
        """`names (types): description` on one line.

        The names are the concept's label, the one that matched, and others in the mention's
        language and in English. What exceeds the budget is replaced by "…", and what tells least
        goes first: names after the first three where all would fill more than half, then the end
        of the description, and the end of the first three names only if they alone are too long.
        """
        concept = candidate.concept
        names = _distinct((concept.label, candidate.matched.text, *candidate.names))
        types = f" ({', '.join(concept.types)})" if concept.types else ""
        room = self._candidate_tokens - self._count(types)
        title = self._title(names, room // 2 if concept.description else room)
        title = self._shorten(title, room) + types
        if not concept.description:
            return title
        room = self._candidate_tokens - self._count(title)
        return f"{title}: {self._shorten(_harmless(concept.description), room)}"

    def _title(self, names: list[str], tokens: int) -> str:
        """As many of the names as fit into so many tokens, but no fewer than the first ones."""
        title = "; ".join(names)
        for kept in range(len(names) - 1, _TELLING - 1, -1):
            if self._count(title) <= tokens:
                break
            title = "; ".join((*names[:kept], _CUT))
        return title

    def _shorten(self, text: str, tokens: int) -> str:
        spans = self._spans(text)
        if len(spans) <= tokens:
            return text
        return text[: spans[max(0, tokens - 1)][0]].rstrip() + _CUT

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` begins and ends, in code points."""
        return self._plain.encode(text).offsets

    def _count(self, text: str) -> int:
        return len(self.ids(text))


def _distinct(names: Iterable[str]) -> list[str]:
    """The names without those that differ from an earlier one in nothing but case, or are empty."""
    found: dict[str, str] = {}
    for name in names:
        shown = _harmless(name).strip()
        if shown:
            found.setdefault(shown.casefold(), shown)
    return list(found.values())


def _harmless(text: str) -> str:
    """The text on one line, as the tokenizer reads it, the prompt's own tags turned into `[...]`.

    Half a surrogate pair, which JSON can carry but no tokenizer reads, becomes "?".
    """
    text = unicodedata.normalize("NFC", text.encode(errors="replace").decode())
    text = _TAG.sub(r"[\1]", re.sub(r"\s+", " ", text))
    # Under NFC a leading U+0338, a combining stroke, would turn the ">" of a marker into "≯".
    # It comes first in NFC's order of combining characters, so no other can stand before it.
    return text.lstrip("\u0338")
