"""The shipped encoder, as a release carries it."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.encoding import Encoder, open_encoder
from bioelx.encoding.onnx import _BATCH_TOKENS, _batches
from bioelx.errors import FileError
from bioelx.settings import SHIPPED_ENCODER, shipped

FOLDER = shipped(SHIPPED_ENCODER)
NAMES = [
    "asthma",
    "심근경색",
    "กล้ามเนื้อหัวใจตายเฉียบพลัน",
    "хроническая обструктивная болезнь лёгких",
    "x",
    "acute lymphoblastic leukaemia with a name that is much longer than those beside it",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder(FOLDER, threads=1)


def test_vectors_are_unit_vectors_of_the_dimension_said(encoder: Encoder) -> None:
    vectors = encoder.encode(NAMES)
    assert vectors.shape == (len(NAMES), encoder.card.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.card.dimension)


def test_a_translation_is_nearer_than_another_disease(encoder: Encoder) -> None:
    infarct, herzinfarkt, asthma = encoder.encode(
        ["heart attack", "herzinfarkt", "bronchialasthma"]
    )
    assert infarct @ herzinfarkt > infarct @ asthma


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=80)), min_size=1, max_size=40))
def test_a_text_has_one_vector_whatever_its_company(encoder: Encoder, texts: list[str]) -> None:
    together = encoder.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-4)


@given(st.lists(st.integers(2, 64), max_size=300), st.integers(1, 200))
def test_batches_hold_every_text_once_and_not_too_much(lengths: list[int], run: int) -> None:
    batches = _batches(lengths, run)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) * max(lengths[row] for row in rows) <= _BATCH_TOKENS


@given(st.lists(st.integers(2, 64), min_size=1, max_size=9), st.integers(1, 200))
def test_no_other_split_by_length_computes_less(lengths: list[int], run: int) -> None:
    ordered = sorted(lengths)
    inner = range(1, len(ordered))
    splits = itertools.chain(*(itertools.combinations(inner, cuts) for cuts in range(len(ordered))))
    least = min(
        sum(run + (end - start) * ordered[end - 1] for start, end in itertools.pairwise(ends))
        for ends in ((0, *split, len(ordered)) for split in splits)
    )
    batches = _batches(lengths, run)
    assert sum(run + len(rows) * max(lengths[row] for row in rows) for rows in batches) == least


def test_short_texts_are_not_padded_to_a_long_one() -> None:
    assert sorted(map(sorted, _batches([5, 60, 6, 5], 12))) == [[0, 2, 3], [1]]


def test_a_very_long_text_is_cut_at_the_limit(encoder: Encoder) -> None:
    long = "heart " * 5000
    np.testing.assert_array_equal(encoder.encode([long]), encoder.encode([long + "failure"]))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "encoder"))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=name):
        open_encoder(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"format": "tf"}, "unknown format 'tf'"),
        ({"dimension": None}, "not an encoder's card"),
        ({"files": 3}, "not an encoder's card"),
    ],
)
def test_a_card_that_does_not_fit_says_why(copy: Path, change: dict, message: str) -> None:
    path = copy / "encoder.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    with pytest.raises(FileError, match=message):
        open_encoder(copy)


def test_a_folder_that_is_no_encoder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"encoder\.json: no such file"):
        open_encoder(tmp_path)


def test_the_fingerprint_changes_with_what_changes_vectors(copy: Path, encoder: Encoder) -> None:
    path = copy / "encoder.json"
    card = orjson.loads(path.read_bytes())
    del card["files"]["held_out.txt"]
    path.write_bytes(orjson.dumps(card))
    assert open_encoder(copy).card.fingerprint == encoder.card.fingerprint
    path.write_bytes(orjson.dumps({**card, "prefix": "x: "}))
    assert open_encoder(copy).card.fingerprint != encoder.card.fingerprint


def test_onnxruntime_does_not_report_usage(tmp_path: Path) -> None:
    """Its telemetry keeps a device id and a database under the user's home if it is on."""
    encode = (
        "import sys; from pathlib import Path; from bioelx.encoding import open_encoder;"
        "open_encoder(Path(sys.argv[1])).encode(['asthma'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", encode, str(FOLDER)],
        env={**environment, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
