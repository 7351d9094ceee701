"""What came, went and moved between two knowledge bases."""

from pathlib import Path

import pyarrow as pa

from bioelx.kb.changes import Changes, ConceptChange, NameChange, compare
from bioelx.kb.tables import (
    CONCEPTS_FILE,
    CONCEPTS_SCHEMA,
    NAMES_FILE,
    NAMES_SCHEMA,
    prepare,
    write_table,
)


def write(folder: Path, concepts: dict[str, str], names: list[tuple[str, str, str]]) -> Path:
    """Writes a knowledge base.

    Args:
        concepts: id -> label; an id for a label retires the concept in that one's favour.
        names: concept id, text, language.
    """
    folder.mkdir()
    empty = {"description": "", "types": ["disease"], "xrefs": []}
    of_concepts = [
        {
            **empty,
            "concept_id": concept_id,
            "label": label,
            "status": "retired" if ":" in label else "active",
            "replaced_by": label if ":" in label else None,
        }
        for concept_id, label in concepts.items()
    ]
    of_names = [
        {
            "concept_id": c,
            "text": t,
            "lang": lang,
            "kind": "alias",
            "source": "s",
            "ambiguous": False,
        }
        for c, t, lang in names
    ]
    tables = prepare(
        pa.Table.from_pylist(of_concepts, CONCEPTS_SCHEMA),
        pa.Table.from_pylist(of_names, NAMES_SCHEMA),
    )
    for table, file in zip(tables, (CONCEPTS_FILE, NAMES_FILE), strict=True):
        write_table(table, folder / file)
    return folder


def test_concepts_and_names_come_go_and_move(tmp_path: Path) -> None:
    before = write(
        tmp_path / "before",
        {"a:1": "flu", "a:2": "grippe", "a:3": "wart", "a:4": "old", "a:9": "a:1"},
        [
            ("a:1", "flu", "en"),
            ("a:2", "la grippe", "fr"),
            ("a:2", "grippe", "de"),
            ("a:3", "wart", "en"),
            ("a:4", "old", "en"),
        ],
    )
    after = write(
        tmp_path / "after",
        {"a:1": "influenza", "a:2": "a:1", "a:3": "wart", "a:5": "new", "a:9": "a:1"},
        [
            ("a:1", "Flu", "en"),  # of the same normal form: no change
            ("a:1", "la grippe", "fr"),
            ("a:3", "wart", "de"),  # of another language: another name
            ("a:3", "wart", "en"),
            ("a:5", "new", "en"),
        ],
    )
    assert compare(before, after) == Changes(
        concepts_came=(ConceptChange("a:5", "new"),),
        concepts_went=(ConceptChange("a:4", "old"),),
        concepts_retired=(ConceptChange("a:2", "grippe", "a:1"),),
        names_came=(
            NameChange("new", "en", (), ("a:5",)),
            NameChange("wart", "de", (), ("a:3",)),
        ),
        names_went=(
            NameChange("grippe", "de", ("a:2",), ()),
            NameChange("old", "en", ("a:4",), ()),
        ),
        names_moved=(NameChange("la grippe", "fr", ("a:2",), ("a:1",)),),
    )


def test_a_knowledge_base_is_like_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"a:1": "flu"}, [("a:1", "flu", "en")])
    assert compare(folder, folder) == Changes((), (), (), (), (), ())
