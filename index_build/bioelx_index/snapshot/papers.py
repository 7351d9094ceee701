"""The catalogue, the licences and the description that travel with the snapshot."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from bioelx_index.snapshot.catalogue import SOURCES, Source
from bioelx_index.sources import SourceConcept


@dataclass
class Tally:
    """How many concepts and names each source gives, the names by language."""

    concepts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    names: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def count(self, source: str, concepts: Iterable[SourceConcept]) -> Iterator[SourceConcept]:
        """Passes the concepts on, counting."""
        for concept in concepts:
            if concept.names:
                self.concepts[source].add(concept.concept_id)
            self.names[source].update(name.lang for name in concept.names)
            yield concept


def sources_toml(out: Path) -> str:
    """``sources.toml``: one ``[[source]]`` each in order of trust, with the files' sha256.

    Raises FileNotFoundError, naming the file, if the snapshot lacks one.
    """
    head = "# Made by `python -m bioelx_index.snapshot`. The order is the order of trust.\n"
    return head + "".join(_entry(source, out) for source in SOURCES)


def _entry(source: Source, out: Path) -> str:
    fields: dict[str, object] = {
        "name": source.name,
        "title": source.title,
        "reader": source.reader,
        "files": list(source.files),
        "snapshot": source.snapshot,
        "licence": source.licence,
        "attribution": source.attribution,
        "url": source.url,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items()]
    sums = [
        f"{_toml(name)} = {_toml(hashlib.sha256((out / name).read_bytes()).hexdigest())}"
        for name in source.files
    ]
    return "\n".join(["", "[[source]]", *lines, "", "[source.sha256]", *sums, ""])


def _toml(value: object) -> str:
    """A string or a list of strings; JSON's notation of both is TOML's too."""
    return json.dumps(value, ensure_ascii=False)


def licences_md(raw: Path) -> str:
    """``LICENSES.md``: what each source asks of those who use and pass on its data."""
    parts = ["# Licences of the data in this folder", ""]
    for source in SOURCES:
        parts += [
            f"## {source.title} (`{source.name}`)",
            "",
            f"- Licence: {source.licence}",
            f"- Attribution: {source.attribution}",
            f"- Version: {source.snapshot}",
            f"- Home: {source.url}",
            "",
            *([source.notice, ""] if source.notice else []),
        ]
    parts += ["## Licences of the collections that the files came by", ""]
    for source in SOURCES:
        for notice in source.notices:
            text = (raw / notice).read_text(encoding="utf-8").strip()
            parts += [f"### {Path(notice).parent.name}", "", "```text", text, "```", ""]
    return "\n".join(parts)


def readme_md(out: Path, tally: Tally) -> str:
    """``README.md``: the standing text beside this module, with the counts filled in."""
    template = (files(__package__) / "README.template.md").read_text(encoding="utf-8")
    return template.format(counts=_counts(tally), size=f"{megabytes(out):.1f}")


def megabytes(out: Path) -> float:
    """What the files of the catalogue weigh, in 10^6 bytes."""
    return sum((out / name).stat().st_size for source in SOURCES for name in source.files) / 1e6


def _counts(tally: Tally) -> str:
    rows = ["| source | concepts | names | of them by language |", "|---|---:|---:|---|"]
    for source in SOURCES:
        names = tally.names[source.name]
        languages = [f"{lang} {count:,}" for lang, count in names.most_common(12)]
        if len(names) > len(languages):
            languages.append(f"{len(names) - len(languages)} more")
        rows.append(
            f"| {source.name} | {len(tally.concepts[source.name]):,} | {names.total():,} "
            f"| {' · '.join(languages)} |"
        )
    total = sum((tally.names[source.name] for source in SOURCES), Counter[str]())
    rows.append(f"| all, before merging | | {total.total():,} | {len(total)} languages |")
    return "\n".join(rows)
