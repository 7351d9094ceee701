"""What the shared prefix of the causal ranker saves, beside the floor of its operations and bytes;
and how long a small cross-encoder takes.

    python -m bioelx_eval.speed.ranker --tokenizer tests/files/qwen3-tokenizer/tokenizer.json.gz
    python -m bioelx_eval.speed.ranker --cross-encoder models/bioelx-ranker-int8

The first reads one window beside its candidates in two ways, in turns: with the shared prefix, and
pair by pair as sentence-transformers' CrossEncoder does, in one batch. Both load the same model:
random weights in the shape of Qwen3-Reranker-0.6B, whose speed is that of the real ones, or
--model. Times are processor time on a CPU, so that what else the machine does counts for little,
and those of the clock on a GPU.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, process_time

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, Qwen3Config, Qwen3ForCausalLM

from bioelx.ranking import Window
from bioelx.ranking.card import read_card
from bioelx.ranking.onnx import TOKENIZER_FILE, OnnxRanker
from bioelx.ranking.pairs import PairBuilder
from bioelx.ranking.prompt import INSTRUCTION, PREFIX, SUFFIX, PromptBuilder
from bioelx.ranking.qwen import QwenRanker
from bioelx.types import Candidate, Concept, Name

_SEED = 20261129
_WORDS = ("fever", "pain", "heart", "blood", "liver", "acute", "disease", "syndrome", "infection")
"""Each of one token."""


def save_random_model(folder: Path, tokenizer_json: str, shape: Qwen3Config) -> None:
    """Saves random weights of this shape, in bf16, and the tokenizer beside them."""
    torch.manual_seed(_SEED)
    Qwen3ForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>"}', encoding="utf-8"
    )


def shape_of_06b(layers: int = 28) -> Qwen3Config:
    """That of Qwen3-Reranker-0.6B, or with fewer layers."""
    return Qwen3Config(
        vocab_size=151_669,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )


def open_cross_encoder(model: str, device: str, dtype: torch.dtype) -> CrossEncoder:
    """The model as sentence-transformers scores it, with the ranker's prompt.

    It takes pairs of `PromptBuilder.query` and `PromptBuilder.document`.
    """

    def content(role: str) -> str:
        return f"messages | selectattr('role', 'eq', '{role}') | map(attribute='content') | first"

    # The literal parts are Jinja strings, for Jinja drops a newline at a template's end.
    template = (
        f"{{{{ {PREFIX!r} }}}}<Instruct>: {INSTRUCTION}\n<Query>: {{{{ {content('query')} }}}}\n"
        f"<Document>: {{{{ {content('document')} }}}}{{{{ {SUFFIX!r} }}}}"
    )
    encoder = CrossEncoder(
        model,
        device=device,
        activation_fn=torch.nn.Identity(),
        processor_kwargs={"chat_template": template},
        model_kwargs={"dtype": dtype},
    )
    # Older releases of sentence-transformers put a random head on such a model.
    assert isinstance(encoder[-1], LogitScore)
    return encoder


@dataclass(frozen=True)
class Task:
    """One mention to rank, with the sizes of the parts of its prompt in tokens."""

    window: Window
    candidates: list[Candidate]
    pairs: list[tuple[str, str]]
    opening: int
    head: int
    tails: list[int]


def make_texts(window: int, candidates: int, tokens: int) -> tuple[Window, list[Candidate]]:
    """A window of `window` words, and candidates of `tokens` words and signs, most of one token."""
    rng = Random(_SEED)  # noqa: S311  (a sample, no secret)

    def words(count: int) -> str:
        return "".join(f" {rng.choice(_WORDS)}" for _ in range(count))

    before = (window - 1) // 2
    text = Window(words(before), " fever", words(window - 1 - before))
    found = []
    for rank in range(1, candidates + 1):
        label = f"heart{words(1)}"
        name = Name(label, "en", "label", "")
        concept = Concept(f"x:{rank}", label, words(tokens - 3).strip())
        found.append(Candidate(concept, name, False, 0.5, rank, label, "en"))
    return text, found


def make_task(tokenizer: Tokenizer, window: int, candidates: int, tokens: int) -> Task:
    """One mention for a language model whose tokenizer has a token for each of these words."""
    builder = PromptBuilder(tokenizer, window_tokens=window, candidate_tokens=tokens)
    text, found = make_texts(window, candidates, tokens)
    return Task(
        window=text,
        candidates=found,
        pairs=[(builder.query(text), builder.document(each)) for each in found],
        opening=len(builder.opening),
        head=len(builder.head(text)),
        tails=[len(builder.tail(each)) for each in found],
    )


@dataclass(frozen=True)
class Floor:
    """What the ranker cannot do without, and how fast this machine does such things."""

    operations: float
    bytes: float
    operations_a_second: float
    bytes_a_second: float

    @property
    def seconds(self) -> float:
        return max(self.operations / self.operations_a_second, self.bytes / self.bytes_a_second)


def floor_of(task: Task, config: PreTrainedConfig, device: str, dtype: torch.dtype) -> Floor:
    """The operations of all matrix products, and the bytes of the weights, which are read twice
    (for the window and for the candidates), and of the keys and values, written and read once.
    """
    layers, hidden = config.num_hidden_layers, config.hidden_size
    queries = config.num_attention_heads * config.head_dim
    keys = 2 * config.num_key_value_heads * config.head_dim
    weights = layers * hidden * (2 * queries + keys + 3 * config.intermediate_size)
    read = task.opening + task.head
    seen = task.head * (task.opening + task.head / 2) + sum(n * (read + n / 2) for n in task.tails)
    tokens = task.head + sum(task.tails)
    held = layers * keys * (read + sum(task.tails))
    return Floor(
        operations=2 * weights * tokens + 4 * layers * queries * seen,
        bytes=dtype.itemsize * (2 * weights + 2 * held),
        operations_a_second=_fastest_product(tokens, config, device, dtype),
        bytes_a_second=_fastest_read(device),
    )


def _fastest_product(rows: int, config: PreTrainedConfig, device: str, dtype: torch.dtype) -> float:
    """Operations a second of the model's largest matrix product, at its best."""
    inner, outer = config.hidden_size, config.intermediate_size
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(outer, inner, device=device).to(dtype)
    return 2 * rows * inner * outer / _best(lambda: left @ right.T, device)


def _fastest_read(device: str) -> float:
    """Bytes a second read from memory, at its best: those of a sum over 512 MB."""
    data = torch.ones(2**27, device=device)
    return 4 * len(data) / _best(lambda: data.sum(), device)


def _best(work: Callable[[], object], device: str) -> float:
    return min(_seconds(work, device) for _ in range(10))


def _seconds(work: Callable[[], object], device: str) -> float:
    if device == "cpu":
        started = process_time()
        work()
        return process_time() - started
    torch.cuda.synchronize()
    started = perf_counter()
    work()
    torch.cuda.synchronize()
    return perf_counter() - started


def measure(model: str, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Says what both ways took, how far their scores are apart, and the floor."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ranker = QwenRanker(
        model,
        threads=options.threads,
        precision=options.precision,
        batch=options.candidates,
        window_tokens=options.window,
        candidate_tokens=options.tokens,
    )
    dtype = getattr(torch, options.precision)
    encoder = open_cross_encoder(model, device, dtype)
    tokenizer = AutoTokenizer.from_pretrained(model).backend_tokenizer
    task = make_task(tokenizer, options.window, options.candidates, options.tokens)
    config = AutoConfig.from_pretrained(model)
    say(
        f"{device}, {options.precision}, {torch.get_num_threads()} threads: prompts of "
        f"{task.opening} tokens that all share, {task.head} of the window's part, "
        f"{len(task.tails)} x {task.tails[0]} of the candidates' parts"
    )
    own: list[float] = []
    others: list[float] = []

    def shared() -> None:
        own[:] = ranker.log_odds(task.window, task.candidates)

    def alone() -> None:
        others[:] = encoder.predict(task.pairs, batch_size=len(task.pairs)).tolist()

    ranker.log_odds(task.window, task.candidates[:1])  # what is set up only when needed is
    encoder.predict(task.pairs[:1])
    times: dict[Callable[[], None], list[float]] = {shared: [], alone: []}
    for _ in range(options.rounds):
        for way, seconds in times.items():
            seconds.append(_seconds(way, device))
    ratios = [b / a for a, b in zip(times[shared], times[alone], strict=True)]
    apart = max(abs(a - b) for a, b in zip(own, others, strict=True))
    floor = floor_of(task, config, device, dtype)
    say(f"pair by pair: {1000 * median(times[alone]):.0f} ms a mention")
    say(f"shared prefix: {1000 * median(times[shared]):.0f} ms a mention")
    say(f"ratio: {median(ratios):.2f} (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    say(f"scores: {min(own):.4f} to {max(own):.4f}, at most {apart:.1e} apart")
    say(
        f"floor: {1000 * floor.seconds:.0f} ms: {floor.operations / 1e9:.0f} G operations at "
        f"{floor.operations_a_second / 1e9:.0f} G/s, {floor.bytes / 1e9:.2f} GB at "
        f"{floor.bytes_a_second / 1e9:.0f} GB/s"
    )


def measure_cross_encoder(
    folder: Path, options: argparse.Namespace, say: Callable[[str], None]
) -> None:
    """Says what one mention takes with a small ranker: of texts that fill its own budgets, and of
    such as the options ask for."""
    card = read_card(folder)
    ranker = OnnxRanker(folder, threads=options.threads)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    for window, tokens in dict.fromkeys(
        [(card.window_tokens, card.candidate_tokens), (options.window, options.tokens)]
    ):
        text, candidates = make_texts(window, options.candidates, tokens)
        pairs = PairBuilder(
            tokenizer, window_tokens=card.window_tokens, candidate_tokens=card.candidate_tokens
        )
        head = pairs.head(text)
        read = sum(len((head + pairs.tail(each)).ids) for each in candidates)
        seconds = []
        ranker.log_odds(text, candidates[:1])  # what is set up only when needed is
        for _ in range(options.rounds):
            started = perf_counter(), process_time()
            ranker.log_odds(text, candidates)
            seconds.append((perf_counter() - started[0], process_time() - started[1]))
        clock, busy = (1000 * median(each) for each in zip(*seconds, strict=True))
        say(
            f"{ranker.name}, {options.threads} threads: a window of {window} words and "
            f"{len(candidates)} candidates of {tokens}, {read} pieces read: {clock:.0f} ms a "
            f"mention, {busy:.0f} ms of processor time"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_eval.speed.ranker",
        description="Measures the causal ranker with a shared prefix and without.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="folder or hub id of a causal model")
    source.add_argument("--tokenizer", type=Path, help="tokenizer.json(.gz), for random weights")
    source.add_argument(
        "--cross-encoder", type=Path, help="folder of a small ranker, with ranker.json"
    )
    parser.add_argument("--layers", type=int, default=28, help="of the random weights")
    parser.add_argument("--window", type=int, default=128, help="tokens of the window")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=40, help="tokens of a candidate")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    if options.cross_encoder:
        measure_cross_encoder(options.cross_encoder, options, say)
        return
    if options.model:
        measure(options.model, options, say)
        return
    data = options.tokenizer.read_bytes()
    text = gzip.decompress(data) if options.tokenizer.suffix == ".gz" else data
    with tempfile.TemporaryDirectory(prefix="bioelx-ranker-") as scratch:
        save_random_model(Path(scratch), text.decode(), shape_of_06b(options.layers))
        measure(scratch, options, say)


if __name__ == "__main__":
    main()
