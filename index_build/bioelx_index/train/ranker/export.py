"""A trained cross-encoder as an int8 ONNX ranker that needs no torch.

The graph is the encoder's (`bioelx_index.train.export`) up to its last layer, so that a pair's
score does not depend on the pairs beside it; what differs is the segments and the head.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto
from tokenizers import Tokenizer

from bioelx.errors import FileError
from bioelx.ranking import Window
from bioelx.ranking.card import CARD_FILE, SCHEMA
from bioelx.ranking.onnx import INPUTS, MODEL_FILE, TOKENIZER_FILE
from bioelx.ranking.pairs import CANDIDATE, MENTION, PairBuilder
from bioelx.types import Candidate, Concept, Name
from bioelx_index.train.export import (
    Bits,
    Graph,
    Parent,
    Reach,
    body,
    finished,
    measure_reach,
    random_texts,
    stamps,
    summed,
)

HEAD = "head"
"""What the tensors of the head are named after, beside BERT's own."""


def export_ranker(
    parent: Parent,
    tokenizer: Tokenizer,
    out: Path,
    *,
    name: str,
    base: str,
    window_tokens: int,
    candidate_tokens: int,
) -> int:
    """Writes model.onnx, tokenizer.json and ranker.json to `out`; returns their size in bytes.

    Raises:
        FileError: the parent lacks a tensor, or reads shorter pairs than the budgets make.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pairs = PairBuilder(tokenizer, window_tokens=window_tokens, candidate_tokens=candidate_tokens)
    positions = len(parent.tensors["embeddings.position_embeddings.weight"])
    if positions < pairs.longest:
        raise FileError(out, f"a pair may have {pairs.longest} pieces, the model reads {positions}")
    try:
        plain = build(parent, {})
        graph = build(parent, measure_reach(plain, parent, list(_probes(pairs, tokenizer))))
    except KeyError as error:
        raise FileError(out, f"the cross-encoder does not hold {error}") from error
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL_FILE).write_bytes(graph.SerializeToString(deterministic=True))
    (out / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")
    said = {
        "name": name,
        "base": base,
        "window_tokens": window_tokens,
        "candidate_tokens": candidate_tokens,
    }
    card = {"schema": SCHEMA, **said, "files": stamps(out, (MODEL_FILE, TOKENIZER_FILE))}
    (out / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return sum(path.stat().st_size for path in out.iterdir())


def build(parent: Parent, reach: Reach) -> onnx.ModelProto:
    """The ranker's graph."""
    graph, tensors = Graph(), parent.tensors
    types = graph.constant("segments.table", tensors["embeddings.token_type_embeddings.weight"])
    beside = graph.add("Gather", [types, "segments"], "segments.rows")
    positions = graph.constant("positions", tensors["embeddings.position_embeddings.weight"])
    states = body(graph, parent, positions, Bits.FOUR, reach, beside=beside)
    directions = []
    for part, number in (("mention", MENTION), ("candidate", CANDIDATE)):
        wanted = graph.constant(f"{part}.segment", number, np.int64)
        chosen = graph.add("Equal", ["segments", wanted], f"{part}.chosen")
        floats = graph.add("Cast", [chosen], f"{part}.weights", to=TensorProto.FLOAT)
        total = summed(graph, states, floats, f"{part}.sum")
        directions.append(graph.add("LpNormalization", [total], part, axis=-1, p=2))
    alike = graph.add("Mul", directions, "alike")
    first = graph.add(
        "Gather", [states, graph.constant("at_0", 0, np.int64)], "first_piece", axis=1
    )
    seen = graph.add("Concat", [alike, first], "seen", axis=-1)
    weights = np.concatenate([tensors[f"{HEAD}.likeness"], tensors[f"{HEAD}.first"]])
    score = graph.add("MatMul", [seen, graph.constant("head", weights)], "score")
    graph.add("Add", [score, graph.constant("head.bias", tensors[f"{HEAD}.bias"])], "log_odds")
    return finished(graph, INPUTS, "log_odds", ["n"])


def _probes(
    pairs: PairBuilder, tokenizer: Tokenizer
) -> Iterator[Mapping[str, npt.NDArray[np.int64]]]:
    """Pairs of texts of random pieces."""
    texts = random_texts(tokenizer)
    for before, mention, after, text in zip(texts, texts[1:], texts[2:], texts[3:], strict=False):
        named = Name(text, "", "label", "")
        found = Candidate(Concept("", text, before), named, False, 0.0, 1, text, "")
        ids, segments = pairs.head(Window(before, mention, after)) + pairs.tail(found)
        yield dict(
            zip(INPUTS, (np.array([ids]), np.ones((1, len(ids)), np.int64), np.array([segments])),
                strict=True)
        )  # fmt: skip
