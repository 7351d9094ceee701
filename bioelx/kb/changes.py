"""What sets two knowledge bases apart: concepts and names that came, went or moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, map_table
from bioelx.types import Status


@dataclass(frozen=True, slots=True)
class ConceptChange:
    """A concept that is an answer in one of two knowledge bases only."""

    concept_id: str
    label: str
    successor: str | None = None
    """The concept that took its place, where it went."""


@dataclass(frozen=True, slots=True)
class NameChange:
    """A name of a concept that only one of two knowledge bases has.

    A name that went from one concept and came to another has moved: then both are given.
    """

    text: str
    lang: str
    before: tuple[str, ...]
    """Ids of the concepts that lost it."""
    after: tuple[str, ...]
    """Ids of the concepts that got it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """From one knowledge base to another; each list in the order of ids, or of texts."""

    concepts_came: tuple[ConceptChange, ...]
    concepts_went: tuple[ConceptChange, ...]
    """There is no word of them any more."""
    concepts_retired: tuple[ConceptChange, ...]
    names_came: tuple[NameChange, ...]
    names_went: tuple[NameChange, ...]
    names_moved: tuple[NameChange, ...]


def compare(before: Path, after: Path) -> Changes:
    """Compares the tables of two releases, given by their folders.

    Two names are the same if they are equal after normalisation and of one language.

    Raises:
        FileError: a table is missing or damaged.
    """
    concepts, names = (
        [map_table(folder / file) for folder in (before, after)]
        for file in (CONCEPTS_FILE, NAMES_FILE)
    )
    came, went, retired = _concepts(*concepts)
    changed = list(_names(*names))
    return Changes(
        concepts_came=came,
        concepts_went=went,
        concepts_retired=retired,
        names_came=tuple(each for each in changed if not each.before),
        names_went=tuple(each for each in changed if not each.after),
        names_moved=tuple(each for each in changed if each.before and each.after),
    )


def _concepts(
    before: pa.Table, after: pa.Table
) -> tuple[tuple[ConceptChange, ...], tuple[ConceptChange, ...], tuple[ConceptChange, ...]]:
    """Those that came, went, and were retired."""
    active_before, active_after = _active(before), _active(after)
    came = _without(active_after, active_before, ["concept_id"])
    lost = _without(active_before, active_after, ["concept_id"])
    kept = after.select(["concept_id", "replaced_by"])
    is_kept = pc.is_in(lost["concept_id"], value_set=kept["concept_id"].combine_chunks())
    retired = lost.filter(is_kept).join(kept, "concept_id").sort_by("concept_id")
    return (
        _changes(came),
        _changes(lost.filter(pc.invert(is_kept))),
        _changes(retired.rename_columns({"replaced_by": "successor"})),
    )


def _active(concepts: pa.Table) -> pa.Table:
    active = concepts.filter(pc.equal(concepts["status"], Status.ACTIVE.value))
    return active.select(["concept_id", "label"])


def _changes(concepts: pa.Table) -> tuple[ConceptChange, ...]:
    return tuple(ConceptChange(**row) for row in concepts.to_pylist())


def _names(before: pa.Table, after: pa.Table) -> Iterator[NameChange]:
    """The names that one of the two has alone, by normal form and language."""
    before, after = (_plain(table) for table in (before, after))
    identity = ["key", "lang", "concept_id"]
    lost: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    got: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for held, table in (
        (lost, _without(before, after, identity)),
        (got, _without(after, before, identity)),
    ):
        for row in table.to_pylist():
            held[row["key"], row["lang"]][row["concept_id"]] = row["text"]
    for name in sorted(lost.keys() | got.keys()):
        texts = [*got[name].values(), *lost[name].values()]
        yield NameChange(texts[0], name[1], _ids(lost[name]), _ids(got[name]))


def _plain(names: pa.Table) -> pa.Table:
    """The columns that identify a name, as strings: codes mean different things in two tables."""
    return pa.table(
        {
            column: names[column].cast(pa.string())
            for column in ("key", "lang", "concept_id", "text")
        }
    )


def _without(table: pa.Table, other: pa.Table, keys: list[str]) -> pa.Table:
    """The rows of a table whose keys the other does not have, in order of the keys."""
    left = table.join(other.select(keys), keys, join_type="left anti")
    return left.sort_by([(key, "ascending") for key in keys])


def _ids(concepts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(concepts))
