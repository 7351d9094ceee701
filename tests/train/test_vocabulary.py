"""Cutting a vocabulary keeps what it must and says what it changed."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from bioelx.errors import BioelxError, FileError
from bioelx_index.train.vocabulary import TABLE, cut, read_texts

ALWAYS = 4 + 27  # special tokens and single characters
TEXTS = ["hay fever", "fever", "coughing", "feverfew"]


def test_the_most_used_pieces_stay_and_their_texts_split_as_before(make_model, tmp_path):
    model, out = make_model(), tmp_path / "out"
    report = cut(model, TEXTS, ALWAYS + 3, out)
    before, after = (Tokenizer.from_file(str(f / "tokenizer.json")) for f in (model, out))
    kept = after.get_vocab()
    assert {"▁fever", "cough", "ing"} < kept.keys()  # of equal use, the lower ids
    assert not {"▁cold", "▁hay"} & kept.keys()
    assert set("abcxyz▁") <= kept.keys()
    changed = [t for t in TEXTS if before.encode(t).tokens != after.encode(t).tokens]
    assert (report.texts, report.texts_changed) == (4, len(changed))
    assert (report.pieces_after, report.pieces_before) == (ALWAYS + 3, ALWAYS + 7)
    assert after.encode("fever").tokens == ["<s>", "▁fever", "</s>"]
    assert after.encode("漢").ids[-2] == after.token_to_id("<unk>")


def test_each_piece_keeps_its_row_of_the_table(make_model, tmp_path):
    model, out = make_model(), tmp_path / "out"
    cut(model, TEXTS, ALWAYS + 3, out)
    before, after = (load_file(f / "model.safetensors") for f in (model, out))
    old, new = (Tokenizer.from_file(str(f / "tokenizer.json")) for f in (model, out))
    for piece, row in new.get_vocab().items():
        np.testing.assert_array_equal(after[TABLE][row], before[TABLE][old.token_to_id(piece)])
    assert {name: t.shape for name, t in after.items() if name != TABLE} == {
        name: t.shape for name, t in before.items() if name != TABLE
    }
    assert json.loads((out / "config.json").read_text())["vocab_size"] == ALWAYS + 3


def test_too_small_a_size_is_refused(make_model, tmp_path):
    with pytest.raises(BioelxError, match=f"{ALWAYS} pieces are always kept"):
        cut(make_model(), TEXTS, ALWAYS - 1, tmp_path / "out")


def test_texts_come_from_parquet_once_each_in_normal_form(tmp_path):
    file = tmp_path / "names.parquet"
    pq.write_table(pa.table({"name": ["flu", "flu", None, "Grippe"]}), file)
    assert list(read_texts([f"{file}:name"], "query: ")) == ["query: flu", "query: grippe"]
    with pytest.raises(FileError, match="title"):
        list(read_texts([f"{file}:title"], ""))
