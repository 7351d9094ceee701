"""A pretrained causal language model as ranker: Qwen3-Reranker, of any size, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from bioelx.errors import FileError, InstallationError
from bioelx.ranking.prompt import PromptBuilder
from bioelx.ranking.window import Window
from bioelx.types import Candidate

try:
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
except ImportError:
    raise InstallationError(
        "this ranker needs torch and transformers: pip install 'bioelx[torch]'"
    ) from None

_BATCH = 16  # candidates read together: bounds the memory, whatever top_k a caller asks for


class QwenRanker:
    """Log-odds of "yes" against "no" as the model's next token (Zhang et al. 2025).

    The window is read once a mention and its keys and values serve all candidates. Of the model's
    head only W_yes - W_no is used, in fp32; the rest runs in bf16 on a GPU and in fp32 on a CPU.

    Args:
        model: folder or hub id.
        threads: for torch, in the whole process; 0 leaves torch's own choice.

    Raises:
        FileError: there is no such model, or it is none that answers this prompt.
    """

    def __init__(self, model: str, *, threads: int = 0) -> None:
        self.name = Path(model).name
        if threads:
            torch.set_num_threads(threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        local = Path(model).is_dir()
        try:
            tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=local)
            language_model, loading = AutoModelForCausalLM.from_pretrained(
                model,
                dtype=torch.bfloat16 if self._device == "cuda" else torch.float32,
                local_files_only=local,
                output_loading_info=True,
            )
            self._prompt = PromptBuilder(tokenizer.backend_tokenizer)
        except Exception as error:  # transformers, safetensors and the hub each raise their own
            raise FileError(model, f"not a usable causal language model ({error})") from None
        if absent := sorted(loading["missing_keys"]):
            # transformers would go on with random numbers in their place.
            raise FileError(model, f"lacks {len(absent)} weights, the first is {absent[0]}")
        head = language_model.get_output_embeddings().weight.detach()
        yes, no = head[[self._prompt.yes_id, self._prompt.no_id]].float()
        self._direction = (yes - no).to(self._device)
        self._body = language_model.base_model.eval().to(self._device)

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        """See `Ranker.log_odds`."""
        head = torch.tensor([self._prompt.head(window)], device=self._device)
        tails = [torch.tensor(self._prompt.tail(each)) for each in candidates]
        log_odds: list[float] = []
        with torch.inference_mode():
            read = self._body(head, use_cache=True).past_key_values
            for start in range(0, len(tails), _BATCH):
                log_odds += self._read_on(deepcopy(read), tails[start : start + _BATCH])
        return log_odds

    def _read_on(self, cache: DynamicCache, tails: list[torch.Tensor]) -> list[float]:
        """Goes on from the keys and values of a head, which it changes, with each of the tails."""
        cache.batch_repeat_interleave(len(tails))
        # Padding stands on the right, where causal attention keeps it from being seen.
        ids = pad_sequence(tails, batch_first=True).to(self._device)
        states = self._body(ids, past_key_values=cache).last_hidden_state
        last = states[range(len(tails)), [len(tail) - 1 for tail in tails]]
        scores: list[float] = (last.float() @ self._direction).tolist()
        return scores
