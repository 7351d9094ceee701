"""The encoder on torch, where torch is installed: `make test` installs none."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson
import pytest

from bioelx.encoding import open_encoder
from bioelx.release.manifest import stamp_files
from bioelx.settings import shipped

torch = pytest.importorskip("torch", reason="needs the torch extra")

NAMES = ["asthma", "심근경색", "a name that is much longer than the other names beside it", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT with the shipped pieces, as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("torch")
    base, folder = root / "base", root / "encoder"
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertModel(BertConfig(vocab_size=110_000, intermediate_size=64, **shape)).save_pretrained(base)
    PreTrainedTokenizerFast(
        tokenizer_file=str(shipped("models/multilingual-e5-small-int8/tokenizer.json")),
        pad_token="<pad>",
    ).save_pretrained(base)
    transformer = Transformer(str(base))
    SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu").save(str(folder))
    card = {
        "schema": 1,
        "name": "tiny",
        "format": "torch",
        "dimension": 32,
        "max_tokens": 16,
        "prefix": "query: ",
        "base": "random",
        "files": {name: asdict(stamp) for name, stamp in stamp_files(folder).items()},
    }
    (folder / "encoder.json").write_bytes(orjson.dumps(card))
    return folder


def test_it_keeps_what_every_encoder_promises(folder: Path) -> None:
    encoder = open_encoder(folder, threads=1)
    together = encoder.encode(NAMES)
    assert (together.shape, together.dtype) == ((4, 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for name, vector in zip(NAMES, together, strict=True):
        np.testing.assert_allclose(encoder.encode([name])[0], vector, atol=1e-5)
    long = "heart " * 500
    np.testing.assert_allclose(encoder.encode([long]), encoder.encode([long + "x"]), atol=1e-6)
