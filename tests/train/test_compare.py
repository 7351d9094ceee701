"""The measures of compare.py on vectors whose ranking is known."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bioelx.errors import FileError
from bioelx.kb.normalise import normalise
from bioelx_index.train.compare import (
    first_concepts,
    read_names,
    read_queries,
    recall,
    sample,
)


@pytest.fixture
def names_file(tmp_path):
    rows = [
        ("en", "Flu", ["UMLS:C1", "MESH:D1"]),
        ("de", "Grippe", ["umls:C1"]),
        ("en", "flu", ["UMLS:C2"]),
        ("en", "Cold", ["UMLS:C3"]),
        ("en", "no id", []),
    ]
    path = tmp_path / "names.parquet"
    lang, name, xrefs = zip(*rows, strict=True)
    pq.write_table(pa.table({"lang": lang, "name": name, "xrefs": xrefs}), path)
    return path


def test_names_gather_the_ids_of_one_scheme(names_file):
    names = read_names(names_file, "umls")
    assert dict(zip(names.texts, names.ids, strict=True)) == {
        "Flu": {"C1"}, "Grippe": {"C1"}, "flu": {"C2"}, "Cold": {"C3"},
    }  # fmt: skip
    folded = read_names(names_file, "umls", normalise)
    assert dict(zip(folded.texts, folded.ids, strict=True))["flu"] == {"C1", "C2"}
    assert sample(names, 1, 2) == ["Cold", "flu"]


def test_recall_counts_concepts_not_names(names_file, tmp_path):
    names = read_names(names_file, "umls")
    assert list(names.texts) == ["Cold", "Flu", "Grippe", "flu"]
    vectors = np.array([[0, 1], [1, 0], [0.96, 0.28], [0.8, 0.6]], np.float32)
    flu = np.array([1, 0], np.float32)
    assert first_concepts(flu, vectors, names.ids, 5) == [{"C1"}, {"C2"}, {"C3"}]

    queries = tmp_path / "queries.tsv"
    queries.write_text("language\tgold\tmention\nen\tC1|C9\tflu\nen\tC2\tflu\nde\tC9\tflu\n")
    asked = read_queries(queries)
    assert recall(asked, np.stack([flu] * 3), names, vectors) == {
        "en": (0.5, 1.0), "de": (0.0, 0.0), "all": (0.25, 0.5),
    }  # fmt: skip


def test_a_file_without_its_columns_is_named(tmp_path):
    path = tmp_path / "queries.tsv"
    path.write_text("language\tmention\nen\tflu\n")
    with pytest.raises(FileError, match=r"queries\.tsv.*gold"):
        read_queries(path)
