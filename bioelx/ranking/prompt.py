"""The prompt of Qwen3-Reranker, anchored at the mention, as token ids.

The template is the model card's, byte for byte (Zhang et al. 2025, "Qwen3 Embedding: Advancing
Text Embedding and Reranking Through Foundation Models"). The card's two samples separate the
fields by one newline (transformers) and by two (vLLM). One is right here: it is also the form of
the chat template that sentence-transformers runs, against which our scores are tested.

A prompt is an opening, the same for all mentions, a head, the same for all candidates of a mention,
and a tail, one for each candidate. They meet after a newline and before a "<": there the
tokenizer's pattern always cuts, since what it joins to a run of symbols ends with the newlines
after it, so that the ids of the three, joined, are the ids of the whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from tokenizers import Tokenizer

from bioelx.ranking.window import Window, end_of, share
from bioelx.types import Candidate

PREFIX = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = (
    "Given a passage in which one biomedical mention stands between <mention> and </mention>, "
    "judge whether the Document describes the very concept that this mention refers to"
)

WINDOW_TOKENS = 128
CANDIDATE_TOKENS = 128

_TAG = re.compile(r"<(/?(?:mention|instruct|query|document))>", re.IGNORECASE)
_NEEDED = ("yes", "no", "<|im_start|>", "<|im_end|>")
_TELLING = 3  # names that are cut only when they alone are too long; the others go first
_CUT = "…"


class PromptBuilder:
    """Writes prompts with the tokenizer of the model that reads them.

    Args:
        window_tokens: budget for the window, shared evenly around the mention.
        candidate_tokens: budget for a candidate's document. Both hold to within a few tokens: a
            text cut between two tokens may fall into others than it was cut from.

    Raises:
        ValueError: the tokenizer lacks a token that the template or the answer needs.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        window_tokens: int = WINDOW_TOKENS,
        candidate_tokens: int = CANDIDATE_TOKENS,
    ) -> None:
        self.yes_id, self.no_id, *_ = (_id_of(token, tokenizer) for token in _NEEDED)
        self._window_tokens = window_tokens
        self._candidate_tokens = candidate_tokens
        # Texts are encoded without the added tokens: "<|im_end|>" in a document is plain text.
        self._plain = Tokenizer(tokenizer.model)
        self._plain.normalizer = tokenizer.normalizer
        self._plain.pre_tokenizer = tokenizer.pre_tokenizer
        prefix, suffix = (
            tokenizer.encode(s, add_special_tokens=False).ids for s in (PREFIX, SUFFIX)
        )
        self.opening: list[int] = prefix + self._ids(f"<Instruct>: {INSTRUCTION}\n")
        """The ids of the prompt up to the window."""
        self._suffix: list[int] = suffix

    def head(self, window: Window) -> list[int]:
        """The ids of the prompt from the window on, up to the candidate."""
        return self._ids(f"<Query>: {self.query(window)}\n")

    def tail(self, candidate: Candidate) -> list[int]:
        """The ids of the prompt from the candidate on, to where the model answers."""
        return self._ids(f"<Document>: {self.document(candidate)}") + self._suffix

    def query(self, window: Window) -> str:
        """The window on one line, cut between words, with the mention in it marked.

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
        return f"{before}<mention>{mention}</mention>{after}".strip()

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
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text).ids
        return ids


def _id_of(token: str, tokenizer: Tokenizer) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise ValueError(f"its tokenizer has no token {token}")
    return token_id


def _distinct(names: Iterable[str]) -> list[str]:
    """The names without those that differ from an earlier one in nothing but case, or are empty."""
    found: dict[str, str] = {}
    for name in names:
        shown = _harmless(name).strip()
        if shown:
            found.setdefault(shown.casefold(), shown)
    return list(found.values())


def _harmless(text: str) -> str:
    """The text on one line, as the tokenizer reads it, the template's own tags turned into `[...]`.

    Half a surrogate pair, which JSON can carry but no tokenizer reads, becomes "?".
    """
    text = unicodedata.normalize("NFC", text.encode(errors="replace").decode())
    text = _TAG.sub(r"[\1]", re.sub(r"\s+", " ", text))
    # Under NFC a leading U+0338, a combining stroke, would turn the ">" of a marker into "≯".
    # It comes first in NFC's order of combining characters, so no other can stand before it.
    return text.lstrip("\u0338")
