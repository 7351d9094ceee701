"""A tiny real release with UMLS ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA

CONCEPTS = {
    # id: (xrefs, status, names by language)
    "wikidata:Q12152": (["umls:C0027051", "mondo:0005068", "mesh:D009203"], "active", {
        "en": ["myocardial infarction", "heart attack"], "de": ["Herzinfarkt"]}),
    "wikidata:Q35869": (["umls:C0004096", "umls:C0155877", "mesh:D001249"], "active", {
        "en": ["asthma"], "fi": ["astma"]}),
    "wikidata:Q12206": (["umls:C0011849"], "active", {
        "en": ["diabetes mellitus"], "tr": ["şeker hastalığı"]}),
    "umls:C0018681": ([], "active", {"en": ["headache"]}),
    "wikidata:Q9687": (["umls:C0000925"], "retired", {"en": ["wound, incised"]}),
    "wikidata:Q41112": ([], "active", {"en": ["schizophrenia"]}),
}  # fmt: skip


@pytest.fixture(scope="session")
def release(
    make_release: Callable[[pa.Table, pa.Table, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a release of `CONCEPTS` with the shipped encoder."""
    concepts = pa.Table.from_pylist(
        [
            {
                "concept_id": concept_id,
                "label": of_language["en"][0],
                "description": "",
                "types": ["disease"],
                "xrefs": xrefs,
                "status": status,
            }
            for concept_id, (xrefs, status, of_language) in CONCEPTS.items()
        ],
        CONCEPTS_SCHEMA,
    )
    shared = {"kind": "label", "source": "test", "ambiguous": False}
    names = pa.Table.from_pylist(
        [
            {**shared, "concept_id": c, "text": text, "lang": lang}
            for c, (_, _, of_language) in CONCEPTS.items()
            for lang, texts in of_language.items()
            for text in texts
        ],
        NAMES_SCHEMA,
    )
    return make_release(concepts, names, tmp_path_factory.mktemp("releases"))


@pytest.fixture
def write_xlbel(tmp_path: Path, write_xlbel_in: Callable[..., Path]) -> Callable[..., Path]:
    """Writes XL-BEL v1.0 in the test's own folder."""
    return partial(write_xlbel_in, tmp_path)
