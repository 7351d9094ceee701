"""A shipped encoder becomes a base to train on from, and comes out of another export the same."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("safetensors", reason="needs the train extra")

from bioelx.encoding import open_encoder
from bioelx.errors import FileError
from bioelx.settings import SHIPPED_ENCODER, shipped
from bioelx_index.train.export import Bits, export, read_parent
from bioelx_index.train.restore import restore

TEXTS = ["fever", "심근경색", "kalp krizi", "a common cold with fever and coughing"]
SAID = {"name": "tiny", "base": "none", "prefix": "query: "}


@pytest.mark.parametrize("bits", Bits)
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_weights_come_back_within_their_rounding(
    make_model: Callable[..., Path], tmp_path: Path, kind: str, bits: Bits
) -> None:
    parent = make_model(kind)
    export(parent, tmp_path / "int8", max_tokens=32, table_bits=bits, **SAID)
    restore(tmp_path / "int8", tmp_path / "restored")
    before, after = read_parent(parent), read_parent(tmp_path / "restored")
    start = before.first_position
    for name, tensor in after.tensors.items():
        was = before.tensors[name]
        if "position_embeddings" in name:
            types = before.tensors["embeddings.token_type_embeddings.weight"]
            was = was[start : start + 32] + types[0]
        if "token_type" in name:
            assert not tensor.any()
        elif "word_embeddings" in name:
            np.testing.assert_allclose(tensor, was, atol=np.abs(was).max() / 2 ** (bits - 1))
        elif tensor.ndim == 2 and "encoder.layer" in name:
            # How coarse a row is rounded depends on its channel that reaches furthest.
            assert np.corrcoef(tensor.ravel(), was.ravel())[0, 1] > 0.99
        else:
            np.testing.assert_array_equal(tensor, was)


def test_the_shipped_encoder_comes_back_and_goes_out_again(tmp_path: Path) -> None:
    folder = shipped(SHIPPED_ENCODER)
    shape = restore(folder, tmp_path / "base")
    first = open_encoder(folder, threads=1)
    assert shape.hidden == first.card.dimension
    said = {**SAID, "prefix": first.card.prefix, "max_tokens": first.card.max_tokens}
    export(tmp_path / "base", tmp_path / "again", table_bits=Bits.FOUR, **said)
    again = open_encoder(tmp_path / "again", threads=1)
    cosines = (first.encode(TEXTS) * again.encode(TEXTS)).sum(1)
    assert cosines.min() > 0.999


@pytest.mark.parametrize("kept", [4096, 0])
def test_what_is_no_encoder_is_named(tmp_path: Path, kept: int) -> None:
    folder = Path(shutil.copytree(shipped(SHIPPED_ENCODER), tmp_path / "encoder"))
    model = folder / "model.onnx"
    content = model.read_bytes()[:kept]
    model.write_bytes(content)
    card = json.loads((folder / "encoder.json").read_text())
    card["files"]["model.onnx"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": kept}
    (folder / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match=r"model\.onnx: is no encoder of"):
        restore(folder, tmp_path / "base")
