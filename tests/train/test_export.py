"""The exported graph against BERT written out in numpy, and what the graph promises."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("safetensors", reason="needs the train extra")

import onnx
from tokenizers import Tokenizer

from bioelx.encoding import open_encoder
from bioelx.errors import FileError
from bioelx_index.train.export import Bits, export, quantise_layer, quantise_table, read_parent

TEXTS = ["fever", "a cold", "hay fever", "coughing", "x", "a common cold with fever and coughing"]


def run_export(model: Path, out: Path, **changes: object) -> Path:
    settings = {
        "name": "tiny", "base": "none", "prefix": "query: ", "max_tokens": 32,
        "table_bits": Bits.EIGHT,
    }  # fmt: skip
    export(model, out, **(settings | changes))
    return out


def bert(folder: Path, text: str) -> np.ndarray:
    """The vector of one text in float64, from the definition of BERT (Devlin et al. 2019)."""
    parent = read_parent(folder)
    weights = {name: tensor.astype(np.float64) for name, tensor in parent.tensors.items()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode("query: " + text).ids

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    gelu = np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)
    start = 2 if parent.config["model_type"] == "xlm-roberta" else 0
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][start : start + len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    heads = parent.config["num_attention_heads"]
    for layer in range(parent.config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{at}.attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        share = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (share / share.sum(-1, keepdims=True)) @ value
        mixed = linear(mixed.swapaxes(0, 1).reshape(x.shape), f"{at}.attention.output.dense")
        x = norm(x + mixed, f"{at}.attention.output.LayerNorm")
        inner = linear(gelu(linear(x, f"{at}.intermediate.dense")), f"{at}.output.dense")
        x = norm(x + inner, f"{at}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
def test_export_computes_what_bert_computes(model_type, make_model, tmp_path):
    model = make_model(model_type)
    encoder = open_encoder(run_export(model, tmp_path / "out"), threads=1)
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = [vector @ bert(model, text) for vector, text in zip(vectors, TEXTS, strict=True)]
    assert min(cosines) > 0.999


def test_a_vector_does_not_depend_on_the_batch(make_model, tmp_path):
    encoder = open_encoder(run_export(make_model(), tmp_path / "out"), threads=1)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-5)
    ragged = encoder._run([[0, 2], *([0, *[9] * size, 2] for size in (3, 20, 1))])
    np.testing.assert_allclose(ragged[0], encoder._run([[0, 2]])[0], atol=1e-5)


def test_onnxruntime_puts_no_slower_operators_in(make_model, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(str(run_export(make_model(), tmp_path / "out") / "model.onnx"), options)
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    run = {node.op_type for node in nodes}
    assert {"LayerNormalization", "Gelu", "MatMulIntegerToFloat"} <= run
    assert not run & {"SkipLayerNormalization", "BiasGelu"}


def test_export_writes_the_same_bytes_again(make_model, tmp_path):
    model = make_model()
    first, second = (run_export(model, tmp_path / name) for name in ("one", "two"))
    for file in ("model.onnx", "tokenizer.json", "encoder.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


@given(
    arrays.arrays(np.int8, (3, 64), elements=st.integers(-8, 7)),
    arrays.arrays(np.float16, (3, 2), elements=st.floats(0.0078125, 4, width=16)),
)
def test_a_q4_0_table_comes_back_exactly(levels, scales):
    levels[:, ::32] = -8  # a Q4_0 block holds its largest value as -8
    table = levels * np.repeat(scales.astype(np.float32), 32, axis=1)
    packed, found = quantise_table(table, Bits.FOUR)
    whole = np.stack([packed & 15, packed >> 4], axis=-1).reshape(table.shape).astype(np.float32)
    np.testing.assert_array_equal((whole - 8) * np.repeat(found, 32, axis=1), table)


@given(arrays.arrays(np.float32, (8, 5), elements=st.floats(-10, 10, width=32)))
def test_neighbouring_weights_never_overflow_sixteen_bits(weights):
    integers, scales = quantise_layer(weights)
    wide = integers.astype(np.int32)
    activations = np.array([0, 255])
    sums = [a * wide[::2] + b * wide[1::2] for a in activations for b in activations]
    assert np.abs(sums).max() <= 32_767
    assert (np.abs(wide * scales - weights) <= 0.5001 * scales).all()


def test_files_that_cannot_be_exported_are_named(make_model, tmp_path):
    model = make_model()
    config = json.loads((model / "config.json").read_text())
    cases = {
        "config.json": json.dumps(config | {"model_type": "gpt2"}),
        "model.safetensors": "not weights",
        "tokenizer.json": "{}",
    }
    for file, content in cases.items():
        broken = tmp_path / "broken"
        shutil.copytree(model, broken, dirs_exist_ok=True)
        (broken / file).write_text(content)
        with pytest.raises(FileError, match=file):
            run_export(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
