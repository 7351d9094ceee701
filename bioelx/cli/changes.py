"""The changes from one release to another, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioelx.kb.changes import Changes, ConceptChange, NameChange
from bioelx.release import Manifest


def show_changes(
    changes: Changes, before: Manifest, after: Manifest, sample: int, shown: Console
) -> None:
    """Prints what the releases were made from, the counts, and so many changes of each kind."""
    shown.print(f"From {before.id} to {after.id}", soft_wrap=True)
    for line in _made_differently(before, after):
        shown.print(f"  {escape(line)}", soft_wrap=True)
    counts = Table("", "came", "went", "moved", show_edge=False)
    counts.add_row(
        "concepts",
        f"{len(changes.concepts_came):,}",
        f"{len(changes.concepts_went):,}",
        f"{len(changes.concepts_retired):,} (retired)",
    )
    counts.add_row(
        "names",
        f"{len(changes.names_came):,}",
        f"{len(changes.names_went):,}",
        f"{len(changes.names_moved):,}",
    )
    shown.print(counts)
    for kind in fields(changes):
        found = getattr(changes, kind.name)
        if found and sample:
            table = _sample(found[:sample])
            words = kind.name.replace("_", " that ").replace("that retired", "that were retired")
            table.title = f"{words.capitalize()}: {min(sample, len(found)):,} of {len(found):,}"
            table.title_justify = "left"
            shown.print()
            shown.print(table)


def listing(changes: Changes) -> Iterator[bytes]:
    """All changes, a JSON object a line; the first line counts them."""
    kinds = [kind.name for kind in fields(changes)]
    counts = {kind: len(getattr(changes, kind)) for kind in kinds}
    yield orjson.dumps(counts, option=orjson.OPT_APPEND_NEWLINE)
    for kind in kinds:
        what, _, change = kind.partition("s_")
        for each in getattr(changes, kind):
            said = {"what": what, "change": change, **asdict(each)}
            yield orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def _made_differently(before: Manifest, after: Manifest) -> Iterator[str]:
    """The parts of which the releases have different ones."""
    if before.encoder != after.encoder:
        yield f"encoder: {before.encoder.name} → {after.encoder.name}"
    if before.index.factory != after.index.factory:
        yield f"index: {before.index.factory} → {after.index.factory}"
    of_before = {source.name: source for source in before.sources}
    of_after = {source.name: source for source in after.sources}
    for name in dict.fromkeys([*of_before, *of_after]):
        old, new = of_before.get(name), of_after.get(name)
        if old and new and old.sha256 != new.sha256:
            yield f"source {name}: {old.snapshot} → {new.snapshot}"
        elif not (old and new):
            yield f"source {name}: {'new' if new else 'gone'}"


def _sample(changes: Sequence[ConceptChange | NameChange]) -> Table:
    table = Table(show_edge=False)
    rows = [
        (each.concept_id, each.label, each.successor or "")
        if isinstance(each, ConceptChange)
        else (each.text, each.lang, _several(each.before), _several(each.after))
        for each in changes
    ]
    is_concept = isinstance(changes[0], ConceptChange)
    columns = ["concept", "label", "successor"] if is_concept else ["name", "lang", "of", "now of"]
    # A column that is empty throughout says what the title says already.
    held = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    for place in held:
        table.add_column(columns[place])
    for row in rows:
        table.add_row(*(escape(row[place]) for place in held))
    return table


def _several(concept_ids: Sequence[str]) -> str:
    shown = ", ".join(concept_ids[:3])
    return f"{shown}, {len(concept_ids) - 3} more" if len(concept_ids) > 3 else shown
