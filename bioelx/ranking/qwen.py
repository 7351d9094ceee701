"""A pretrained causal language model as ranker: Qwen3-Reranker, of any size, on CPU or GPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from bioelx.errors import FileError, needing
from bioelx.ranking.batches import batches
from bioelx.ranking.card import read_below
from bioelx.ranking.prompt import PromptBuilder
from bioelx.ranking.ranker import Precision
from bioelx.ranking.texts import CANDIDATE_TOKENS, WINDOW_TOKENS
from bioelx.ranking.window import Window
from bioelx.types import Candidate, Concept, Name

with needing("torch", "this ranker"):
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel

_BATCH = 16  # candidates read together: bounds the memory, whatever top_k a caller asks for
_NO_MEMORY_ON_CPU = "DefaultCPUAllocator: can't allocate memory"  # torch has no type for it

_TOLERANCE = {"float32": 1e-4, "bfloat16": 0.03}  # of a log-odds, for logits of size 1

logger = logging.getLogger(__name__)


class QwenRanker:
    """Log-odds of "yes" against "no" as the model's next token (Zhang et al. 2025).

    The prompt's opening is read once for all, the window once a mention; their keys and values
    serve all candidates. Of the model's head only W_yes - W_no is used, in fp32.

    Args:
        model: folder or hub id.
        threads: for torch, in the whole process; 0 leaves torch's own choice.
        precision: of the weights; "auto" is bfloat16 on a GPU and float32 on a CPU.
        batch: candidates read together at most; halved for good where memory does not suffice.
        window_tokens, candidate_tokens: see `Texts`.

    Raises:
        FileError: there is no such model, or it is none that answers this prompt.
    """

    def __init__(
        self,
        model: str,
        *,
        threads: int = 0,
        precision: Precision = "auto",
        batch: int = _BATCH,
        window_tokens: int = WINDOW_TOKENS,
        candidate_tokens: int = CANDIDATE_TOKENS,
    ) -> None:
        self.name = Path(model).name
        self.below = read_below(model)
        self._batch = batch
        if threads:
            torch.set_num_threads(threads)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if precision == "auto":
            precision = "bfloat16" if self.device == "cuda" else "float32"
        local = Path(model).is_dir()
        try:
            tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=local)
            language_model, loading = AutoModelForCausalLM.from_pretrained(
                model,
                dtype=torch.float32 if precision == "float32" else torch.bfloat16,
                local_files_only=local,
                output_loading_info=True,
            )
            self._prompt = PromptBuilder(
                tokenizer.backend_tokenizer,
                window_tokens=window_tokens,
                candidate_tokens=candidate_tokens,
            )
        except Exception as error:  # transformers, safetensors and the hub each raise their own
            raise FileError(model, f"not a usable causal language model ({error})") from None
        if absent := sorted(loading["missing_keys"]):
            # transformers would go on with random numbers in their place.
            raise FileError(model, f"lacks {len(absent)} weights, the first is {absent[0]}")
        yes, no = self._answers(language_model.get_output_embeddings().weight.detach())
        self._direction = (yes - no).to(self.device)
        self.body = language_model.eval().to(self.device).base_model
        with torch.inference_mode():
            try:
                self._opening = self._read(self._prompt.opening)
                ours, its_own, size = self._probe(language_model)
            except Exception as error:  # each kind of model that has no such cache raises its own
                raise FileError(model, f"cannot be read on from a prefix ({error})") from None
        if not abs(ours - its_own) <= _TOLERANCE[precision] * (1 + size):
            raise FileError(
                model, f"its log-odds of yes are {its_own:.3f}, but {ours:.3f} from W_yes - W_no"
            )

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        """See `Ranker.log_odds`."""
        tails = [torch.tensor(self._prompt.tail(each)) for each in candidates]
        log_odds = [0.0] * len(tails)
        try:
            with torch.inference_mode():
                read = self._read(self._prompt.head(window), deepcopy(self._opening))
                for batch in batches([len(tail) for tail in tails], self._batch):
                    scores = self._score(read, [tails[i] for i in batch])
                    for i, score in zip(batch, scores, strict=True):
                        log_odds[i] = score
        except RuntimeError as error:
            if _is_out_of_memory(error):
                raise MemoryError from None
            raise
        return log_odds

    def _answers(self, of_vocabulary: torch.Tensor) -> torch.Tensor:
        """Those two rows, in fp32, that belong to "yes" and "no"."""
        return of_vocabulary[[self._prompt.yes_id, self._prompt.no_id]].float()

    def _probe(self, language_model: PreTrainedModel) -> tuple[float, float, float]:
        """The log-odds of one prompt, from its parts and by the model itself, and the size of the
        model's logits: a model may have a bias or bend its logits, and not every cache is one that
        can be repeated.
        """
        fever = Name("fever", "en", "label", "")
        candidate = Candidate(Concept("", fever.text), fever, True, 1.0, 1, fever.text, fever.lang)
        longer = replace(candidate, concept=Concept("", fever.text, "a rise of temperature"))
        head = self._prompt.head(Window("She had ", "fever", "."))
        tails = [self._prompt.tail(each) for each in (candidate, longer)]
        ours = self._read_on(
            self._read(head, deepcopy(self._opening)), list(map(torch.tensor, tails))
        )
        whole = torch.tensor([self._prompt.opening + head + tails[0]], device=self.device)
        yes, no = self._answers(language_model(whole).logits[0, -1])
        return ours[0], (yes - no).item(), max(abs(yes.item()), abs(no.item()))

    def _read(self, ids: Sequence[int], after: DynamicCache | None = None) -> DynamicCache:
        """The keys and values of a text, and of the one before it, whose own it changes."""
        row = torch.tensor([ids], device=self.device)
        return self.body(row, past_key_values=after, use_cache=True).past_key_values

    def _score(self, read: DynamicCache, tails: list[torch.Tensor]) -> list[float]:
        """The log-odds of each of the tails; in parts, if there is no memory for all at once."""
        scores: list[float] = []
        while len(scores) < len(tails):
            part = tails[len(scores) : len(scores) + self._batch]
            try:
                scores += self._read_on(read, part)
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if len(part) == 1 or not _is_out_of_memory(error):
                    raise
                self._batch = len(part) // 2
                fields = {"candidates": len(part), "from_now_on": self._batch}
                logger.warning("out of memory", extra={"fields": fields})
            else:
                continue
            torch.cuda.empty_cache()  # outside of the handler, whose traceback holds tensors
        return scores

    def _read_on(self, read: DynamicCache, tails: list[torch.Tensor]) -> list[float]:
        """Goes on from the keys and values of a head with each of the tails."""
        cache = deepcopy(read)
        cache.batch_repeat_interleave(len(tails))
        # Padding stands on the right, where causal attention keeps it from being seen.
        ids = pad_sequence(tails, batch_first=True).to(self.device)
        states = self.body(ids, past_key_values=cache).last_hidden_state
        last = states[range(len(tails)), [len(tail) - 1 for tail in tails]]
        scores: list[float] = (last.float() @ self._direction).tolist()
        return scores


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY_ON_CPU in str(error)
