"""A Hugging Face folder small enough to make for every test, with random weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

LETTERS = "abcdefghijklmnopqrstuvwxyz▁"
WORDS = ["▁fever", "▁cold", "▁fe", "ver", "cough", "ing", "▁hay"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 64, 128, 2, 2, 40


def tiny_tokenizer() -> Tokenizer:
    pieces = [(piece, 0.0) for piece in SPECIAL]
    pieces += [(word, -3.0) for word in WORDS] + [(letter, -6.0) for letter in LETTERS]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Call with a model_type to get a folder holding such a model."""
    numpy_files = pytest.importorskip("safetensors.numpy", reason="needs the train extra")

    def make(model_type: str = "bert") -> Path:
        folder = tmp_path / model_type
        folder.mkdir()
        tokenizer = tiny_tokenizer()
        tokenizer.save(str(folder / "tokenizer.json"))
        random = np.random.default_rng(7)
        tensors = {}

        def matrix(name: str, *shape: int, scale: float = 0.2) -> None:
            tensors[name] = (random.standard_normal(shape) * scale).astype(np.float32)

        def norm(name: str) -> None:
            matrix(f"{name}.bias", HIDDEN)
            tensors[f"{name}.weight"] = random.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
            tensors[f"{name}.weight"][5] = 12  # a channel that reaches further than the rest

        def linear(name: str, inputs: int, outputs: int) -> None:
            matrix(f"{name}.weight", outputs, inputs)
            matrix(f"{name}.bias", outputs)

        matrix("embeddings.word_embeddings.weight", tokenizer.get_vocab_size(), HIDDEN, scale=1)
        matrix("embeddings.position_embeddings.weight", POSITIONS, HIDDEN)
        matrix("embeddings.token_type_embeddings.weight", 2, HIDDEN)
        norm("embeddings.LayerNorm")
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}"
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                linear(f"{at}.attention.{part}", HIDDEN, HIDDEN)
            linear(f"{at}.intermediate.dense", HIDDEN, INNER)
            linear(f"{at}.output.dense", INNER, HIDDEN)
            norm(f"{at}.attention.output.LayerNorm")
            norm(f"{at}.output.LayerNorm")
        numpy_files.save_file(tensors, folder / "model.safetensors")
        config = {
            "model_type": model_type,
            "hidden_act": "gelu",
            "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "layer_norm_eps": 1e-12,
            "pad_token_id": 1,
            "vocab_size": tokenizer.get_vocab_size(),
        }
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make
