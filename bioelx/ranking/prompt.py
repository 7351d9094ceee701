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

from tokenizers import Tokenizer

from bioelx.ranking.texts import CANDIDATE_TOKENS, WINDOW_TOKENS, Texts
from bioelx.ranking.window import Window
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

_NEEDED = ("yes", "no", "<|im_start|>", "<|im_end|>")


class PromptBuilder:
    """Writes prompts with the tokenizer of the model that reads them.

    Args:
        window_tokens, candidate_tokens: see `Texts`.

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
        self._texts = Texts(
            tokenizer, window_tokens=window_tokens, candidate_tokens=candidate_tokens
        )
        prefix, suffix = (
            tokenizer.encode(s, add_special_tokens=False).ids for s in (PREFIX, SUFFIX)
        )
        self.opening: list[int] = prefix + self._texts.ids(f"<Instruct>: {INSTRUCTION}\n")
        """The ids of the prompt up to the window."""
        self._suffix: list[int] = suffix

    def head(self, window: Window) -> list[int]:
        """The ids of the prompt from the window on, up to the candidate."""
        return self._texts.ids(f"<Query>: {self.query(window)}\n")

    def tail(self, candidate: Candidate) -> list[int]:
        """The ids of the prompt from the candidate on, to where the model answers."""
        return self._texts.ids(f"<Document>: {self.document(candidate)}") + self._suffix

    def query(self, window: Window) -> str:
        """The window within its budget, with the mention in it marked."""
        cut = self._texts.window(window)
        return f"{cut.before}<mention>{cut.mention}</mention>{cut.after}".strip()

    def document(self, candidate: Candidate) -> str:
        """See `Texts.document`."""
        return self._texts.document(candidate)


def _id_of(token: str, tokenizer: Tokenizer) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise ValueError(f"its tokenizer has no token {token}")
    return token_id
