"""Turn a shipped int8 encoder back into a Hugging Face folder, to train on from it.

What `bioelx_index.train.export` rounded stays rounded: weights by up to 1/127 of an output's
largest, a table of pieces that was trained, in 4 bits, by up to 1/8 of a block's largest. A
training starts from there as if from the unrounded model. The state of the optimiser is not in it,
nor are positions past the longest text that the encoder reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import onnx
import typer
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from tokenizers import Tokenizer

from bioelx.encoding.encoder import HELD_OUT_FILE, read_card
from bioelx.errors import FileError
from bioelx_index.train.export import BLOCK
from bioelx_index.train.hub_folder import Shape, write_folder

MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"
PIECES = {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>"}

Constants = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float32]


def restore(encoder: Path, out: Path) -> Shape:
    """Writes the model in `encoder`, as `export` left it, to `out` in float32.

    Raises:
        FileError: the folder holds no such encoder; the file at fault is named.
    """
    card = read_card(encoder)
    graph, constants, tensors = _read(encoder)
    try:
        [heads] = {
            attribute.i
            for node in graph.node
            for attribute in node.attribute
            if node.op_type == "MultiHeadAttention" and attribute.name == "num_heads"
        }
    except ValueError as error:
        raise _no_encoder(encoder, error) from error
    tokenizer = Tokenizer.from_file(str(encoder / TOKENIZER_FILE))
    special = {name: (piece, tokenizer.token_to_id(piece)) for name, piece in PIECES.items()}
    if missing := [piece for piece, number in special.values() if number is None]:
        raise FileError(encoder / TOKENIZER_FILE, f"has no piece {', '.join(missing)}")
    pieces, hidden = tensors["embeddings.word_embeddings.weight"].shape
    shape = Shape(
        hidden=hidden,
        layers=_layers(constants),
        heads=heads,
        inner=len(tensors["encoder.layer.0.intermediate.dense.bias"]),
        pieces=pieces,
        positions=len(constants["positions"]),
        types=1,
    )
    write_folder(out, shape, special, {"query": card.prefix}, tokenizer, tensors)
    if (encoder / HELD_OUT_FILE).exists():  # what is trained on from here may not claim more
        shutil.copyfile(encoder / HELD_OUT_FILE, out / HELD_OUT_FILE)
    return shape


def read_weights(encoder: Path) -> dict[str, Floats]:
    """The weights of a shipped encoder under the names of transformers' BertModel.

    Raises:
        FileError: the folder holds no such encoder; the file at fault is named.
    """
    read_card(encoder)
    _, _, tensors = _read(encoder)
    return tensors


def _read(encoder: Path) -> tuple[onnx.GraphProto, Constants, dict[str, Floats]]:
    try:
        graph = onnx.load(str(encoder / MODEL_FILE)).graph
        constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        return graph, constants, weights(constants)
    except (OSError, DecodeError, KeyError, ValueError) as error:
        raise _no_encoder(encoder, error) from error


def _no_encoder(encoder: Path, error: Exception) -> FileError:
    return FileError(encoder / MODEL_FILE, f"is no encoder of bioelx_index.train.export ({error})")


def weights(constants: Constants) -> dict[str, Floats]:
    """The graph's constants under the names, and in the shapes, of transformers' BertModel."""
    found = {
        "embeddings.word_embeddings.weight": table(constants["pieces"], constants["pieces.scales"]),
        "embeddings.position_embeddings.weight": constants["positions"],
        # Added to the positions when they were exported.
        "embeddings.token_type_embeddings.weight": np.zeros_like(constants["positions"][:1]),
    }
    x = "embeddings"
    found |= _kept(constants, "embeddings.LayerNorm")
    for number in range(_layers(constants)):
        at = f"encoder.layer.{number}"
        of_three = np.split(_matrix(constants, f"{at}.qkv", x), 3, axis=1)
        biases = np.split(constants[f"{at}.qkv.bias"], 3)
        for part, matrix, bias in zip(("query", "key", "value"), of_three, biases, strict=True):
            found[f"{at}.attention.self.{part}.weight"] = matrix.T
            found[f"{at}.attention.self.{part}.bias"] = bias
        inner_x, x = f"{at}.attention.output", f"{at}.output"
        for name, source in (
            (f"{inner_x}.dense", ""),
            (f"{at}.intermediate.dense", inner_x),
            (f"{x}.dense", ""),
        ):
            found[f"{name}.weight"] = _matrix(constants, name, source).T
            found[f"{name}.bias"] = constants[f"{name}.bias"]
        found |= _kept(constants, f"{inner_x}.LayerNorm") | _kept(constants, f"{x}.LayerNorm")
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in found.items()}


def table(packed: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16]) -> Floats:
    """The table of pieces, float32 [pieces, hidden]: the reverse of `export.quantise_table`.

    Args:
        packed: uint8 [pieces, hidden * bits / 8].
        scales: [pieces, hidden / 32].
    """
    if packed.shape[1] == scales.shape[1] * BLOCK:
        levels = packed.astype(np.float32) - 128
    else:
        levels = np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)
        levels = levels.astype(np.float32) - 8
    return levels * np.repeat(scales.astype(np.float32), BLOCK, axis=1)


def _matrix(constants: Constants, name: str, source: str) -> Floats:
    """Weights [in, out] of a layer whose input's channels may have been evened out."""
    matrix = constants[f"{name}.weights"].astype(np.float32) * constants[f"{name}.scales"]
    by = constants.get(f"{source}.even.by")
    return matrix if by is None else matrix * by[:, None]


def _kept(constants: Constants, norm: str) -> dict[str, Floats]:
    return {f"{norm}.{part}": constants[f"{norm}.{part}"] for part in ("weight", "bias")}


def _layers(constants: Constants) -> int:
    return sum(name.endswith(".qkv.weights") for name in constants)


def main(
    encoder: Annotated[Path, typer.Option(help="Folder with encoder.json and model.onnx.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Turn a shipped int8 encoder back into a Hugging Face folder, to train on from it.

    Example: python -m bioelx_index.train.restore --encoder models/bioelx-e5-small-int8 --out base,
    then bioelx train encoder --set base=base
    """
    shape = restore(encoder, out)
    typer.echo(f"{out}: {shape.layers} layers, {shape.hidden} wide, {shape.pieces:,} pieces")


if __name__ == "__main__":
    typer.run(main)
