"""The prompt of Qwen3-Reranker, anchored at the mention, as token ids.

The template is the model card's, byte for byte (Zhang et al. 2025, "Qwen3 Embedding: Advancing
Text Embedding and Reranking Through Foundation Models"). The card's two samples separate the
fields by one newline (transformers) and by two (vLLM). One is right here: it is also the form of
the chat template that sentence-transformers runs, against which our scores are tested.

A prompt is a head, the same for all candidates of a mention, and a tail, one for each candidate.
They meet after a newline and before a "<", where the tokenizer always cuts, so that the ids of
both, joined, are the ids of the whole.
"""

from __future__ import annotations

import re

from tokenizers import Tokenizer

from bioelx.ranking.window import Window, share
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

_TAG = re.compile(r"<(/?(?:mention|instruct|query|document))>", re.IGNORECASE)
_NEEDED = ("yes", "no", "<|im_start|>", "<|im_end|>")


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
        self, tokenizer: Tokenizer, *, window_tokens: int = 256, candidate_tokens: int = 128
    ) -> None:
        self.yes_id, self.no_id, *_ = (_id_of(token, tokenizer) for token in _NEEDED)
        self._window_tokens = window_tokens
        self._candidate_tokens = candidate_tokens
        self._prefix: list[int] = tokenizer.encode(PREFIX, add_special_tokens=False).ids
        self._suffix: list[int] = tokenizer.encode(SUFFIX, add_special_tokens=False).ids
        # Texts are encoded without the added tokens: "<|im_end|>" in a document is plain text.
        self._plain = Tokenizer(tokenizer.model)
        self._plain.normalizer = tokenizer.normalizer
        self._plain.pre_tokenizer = tokenizer.pre_tokenizer

    def head(self, window: Window) -> list[int]:
        """The ids of the prompt up to the candidate."""
        text = f"<Instruct>: {INSTRUCTION}\n<Query>: {self.query(window)}\n"
        return self._prefix + self._plain.encode(text).ids

    def tail(self, candidate: Candidate) -> list[int]:
        """The ids of the prompt from the candidate on, to where the model answers."""
        return self._plain.encode(f"<Document>: {self.document(candidate)}").ids + self._suffix

    def query(self, window: Window) -> str:
        """The window on one line, the mention in it marked; a very long mention ends in "…"."""
        mention = self._shorten(_harmless(window.mention), self._window_tokens)
        before, after = _harmless(window.before), _harmless(window.after)
        before_spans, after_spans = self._spans(before), self._spans(after)
        room = self._window_tokens - len(self._spans(mention))
        left, right = share(room, len(before_spans), len(after_spans))
        if left < len(before_spans):
            before = before[before_spans[-left - 1][1] :]
        if right < len(after_spans):
            after = after[: after_spans[right][0]]
        return f"{before}<mention>{mention}</mention>{after}".strip()

    def document(self, candidate: Candidate) -> str:
        """`names (types): description` on one line.

        The names are the English label, the caller's and the one that matched. What exceeds the
        budget ends in "…": the description first, and the names only if they alone are too long.
        """
        concept = candidate.concept
        labels = map(_harmless, (concept.label, candidate.label, candidate.matched.text))
        names = "; ".join({label.casefold(): label for label in labels if label}.values())
        types = f" ({', '.join(concept.types)})" if concept.types else ""
        title = self._shorten(names, self._candidate_tokens - len(self._spans(types))) + types
        if not concept.description:
            return title
        room = self._candidate_tokens - len(self._spans(title))
        return f"{title}: {self._shorten(_harmless(concept.description), room)}"

    def _shorten(self, text: str, tokens: int) -> str:
        spans = self._spans(text)
        if len(spans) <= tokens:
            return text
        return text[: spans[max(0, tokens - 1)][0]].rstrip() + "…"

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` begins and ends, in code points."""
        return self._plain.encode(text).offsets


def _id_of(token: str, tokenizer: Tokenizer) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise ValueError(f"its tokenizer has no token {token}")
    return token_id


def _harmless(text: str) -> str:
    """The text on one line, the template's own tags in it turned into `[...]`."""
    # Under NFC a leading U+0338, a combining stroke, would turn the ">" of a marker into "≯".
    return _TAG.sub(r"[\1]", re.sub(r"\s+", " ", text)).lstrip("\u0338")
