"""One concept per real thing: the parts that the sources tell of it are joined by their xrefs.

**Which cross-references join.** Sources cross-reference loosely: Crohn's colitis carries the id of
Crohn's disease. A claim "concept A is X" therefore joins only if it is *mutually unique* (A claims
one id of X's scheme in that source, and no other concept of the source claims X) or if *names
agree*: the English label of A is a name of X or the other way round, or, where no source names X
(a UMLS id), of another concept that claims X. Claims are taken in order of evidence: equal labels
first, then shared names, then uniqueness alone; a claim that would bring two ids of one primary
scheme, or two kinds of thing (see `kinds.families`), into one concept is refused and counted.
Codes of classifications (ICD, ATC) are never identities.

**Who holds an id** that names no concept of its own: the concept that it joined, and those whose
names agree although a primary scheme splits what the id holds together. An id that joined none is
held by the concept that most sources give it to, then the more trusted source's, then the one
with more names. Whoever else claims it does not get it.

All results are independent of the order of the records.
"""

from __future__ import annotations

import gc
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa

from bioelx.kb.normalise import normalise
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.types import NAME_KINDS, Status
from bioelx_index.kinds import SCHEMES, families, ordered
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import scheme_of

PRIMARY = {
    *("wikidata", "mondo", "doid", "hp", "efo", "mesh", "orphanet", "uberon"),
    *("chebi", "drugbank", "ncbitaxon", "hgnc"),
}
"""Schemes of which a concept holds one id at most: each keeps one id per thing by its own rules.
(NANDO does not: what is on two of Japan's lists of diseases has two ids.)"""

CLASSIFICATIONS = {"icd10", "icd10cm", "icd9", "icd9cm", "atc"}
"""Schemes whose codes stand for groups of things."""

MAX_NAME_LENGTH = 200
_EVIDENCE = ("unique xref", "xref and shared name", "xref and equal label")
# The shortest label that joins, by language; shorter ones are too often abbreviations.
_MIN_LENGTH = {"": 5, "ja": 3, "zh": 3, "ko": 3}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd]")
_LETTER = re.compile(r"[^\W\d_]")
_BCP47 = re.compile(
    r"([a-z]{2,3}(?:-[a-z]{3})?|[a-z]{5,8})(-[a-z]{4})?(-(?:[a-z]{2}|\d{3}))?"
    r"((?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*)",
    re.IGNORECASE,
)
_TWO_IDS = "two ids of"
_KIND_RANK = {kind: rank for rank, kind in enumerate(NAME_KINDS)}


@dataclass(slots=True)
class SourceCount:
    """What came in from a source, and how many of its names stand in the result."""

    records: int = 0
    names_in: int = 0
    names_out: int = 0


@dataclass(slots=True)
class Report:
    """What the merge did. `dropped` counts names by rule, `conflicts` lists refused joins as
    (one id, other id, reason)."""

    sources: dict[str, SourceCount] = field(default_factory=lambda: defaultdict(SourceCount))
    dropped: Counter[str] = field(default_factory=Counter)
    joins: Counter[str] = field(default_factory=Counter)
    conflicts: list[tuple[str, str, str]] = field(default_factory=list)


class Merged(NamedTuple):
    """Tables as `bioelx.kb.tables` has them, sorted, and the report."""

    concepts: pa.Table
    names: pa.Table
    report: Report


class _Named(NamedTuple):
    """A name that passed the rules; sorts best first."""

    kind: int
    trust: int
    text: str
    lang: str
    key: str


@dataclass(slots=True)
class _Part:
    """All that is known of one source id."""

    trust: int
    names: list[_Named] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    description: tuple[int, str] | None = None
    modified: datetime | None = None


def merge(
    records: Iterable[tuple[str, SourceConcept]],
    *,
    trust: Sequence[str],
    previous: Mapping[str, str] | None = None,
    join_names: bool = True,
    verbatim: Collection[str] = (),
) -> Merged:
    """Merges what the sources say into one table of concepts and one of their names.

    Args:
        records: pairs of a source's name and what it says, in any order.
        trust: the sources, the most trusted first.
        previous: the previous release's ids: each concept id, and each xref, to its concept id.
        join_names: also join concepts that no xref joins when their labels are equal, or one's
            English label is the other's synonym, they are one kind of thing, no primary scheme
            or UMLS tells them apart, and no third concept of that name stands in the way.
        verbatim: sources whose names are kept whatever the rules of hygiene say of them.

    Raises:
        ValueError: a record of a source that `trust` does not name.
    """
    # Millions of small objects that all stay: looking for garbage among them doubles the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _Merge(trust, verbatim).run(records, previous or {}, join_names)
    finally:
        if collecting:
            gc.enable()


class _Merge:
    def __init__(self, trust: Sequence[str], verbatim: Collection[str]) -> None:
        self.trust = trust
        self.verbatim = {trust.index(source) for source in verbatim}
        self.rank = {source: rank for rank, source in enumerate(trust)}
        self.report = Report()
        self.parts: dict[str, _Part] = {}
        self.claims: dict[int, dict[str, set[str]]] = {
            rank: defaultdict(set) for rank in self.rank.values()
        }
        self.retired: dict[str, SourceConcept] = {}
        self.split: list[tuple[str, str]] = []
        self.clusters = _Clusters(self.parts, self.report)

    def run(
        self,
        records: Iterable[tuple[str, SourceConcept]],
        previous: Mapping[str, str],
        join_names: bool,
    ) -> Merged:
        kept = self._retire(records)
        for source, record in kept:
            self._gather(source, record)
        holders = self._join_claims()
        if join_names:
            self._join_names()
        members = self._members()
        xrefs = self._hold(holders)
        ids, gone = _assign_ids(members, self.parts, previous)
        return self._tables(members, ids, xrefs, gone)

    # Gathering

    def _retire(
        self, records: Iterable[tuple[str, SourceConcept]]
    ) -> list[tuple[str, SourceConcept]]:
        """Sets aside ids whose most trusted source has retired them; returns the active rest."""
        kept: list[tuple[str, SourceConcept]] = []
        speaker: dict[str, tuple[Any, ...]] = {}
        for source, record in records:
            if source not in self.rank:
                raise ValueError(f"source {source!r} is not in the order of trust")
            counts = self.report.sources[source]
            counts.records += 1
            counts.names_in += len(record.names)
            retired = record.status is Status.RETIRED
            place = (self.rank[source], retired, record.replaced_by or "~", record.names)
            if retired:
                if place < speaker.get(record.concept_id, (len(self.trust),)):
                    self.retired[record.concept_id] = record
            else:
                kept.append((source, record))
            speaker[record.concept_id] = min(place, speaker.get(record.concept_id, place))
        for concept_id, place in speaker.items():
            if not place[1]:
                self.retired.pop(concept_id, None)
        return kept

    def _current(self, concept_id: str) -> str | None:
        """The id that stands for one that may be retired, or None if nothing replaces it."""
        seen = set()
        current: str | None = concept_id
        while current in self.retired:
            if current in seen:
                return None
            seen.add(current)
            current = self.retired[current].replaced_by
        return current

    def _gather(self, source: str, record: SourceConcept) -> None:
        rank = self.rank[source]
        concept_id = self._current(record.concept_id)
        if concept_id is None:
            self.report.dropped["of a retired concept"] += len(record.names)
            return
        part = self.parts.get(concept_id)
        if part is None:
            part = self.parts[concept_id] = _Part(rank)
        part.trust = min(part.trust, rank)
        for text, lang, kind, _ in record.names:
            if named := self._checked(text, lang, kind, rank):
                part.names.append(named)
        part.types.update(record.types)
        if record.description:
            candidate = (rank, record.description)
            part.description = min(part.description or candidate, candidate)
        if record.modified:
            part.modified = max(part.modified or record.modified, record.modified)
        for xref in map(self._current, record.equivalent):
            if xref and xref != concept_id and scheme_of(xref) not in CLASSIFICATIONS:
                self.claims[rank][concept_id].add(xref)

    def _checked(self, text: str, lang: str, kind: str, rank: int) -> _Named | None:
        """The name if it passes the rules of hygiene; each failure is counted by its rule."""
        rule = ""
        key = normalise(text)
        if not key:
            rule = "empty"
        elif rank in self.verbatim:
            return _Named(_KIND_RANK[kind], rank, " ".join(text.split()), lang, key)
        elif _CONTROL.search(text):
            rule = "control characters"
        elif len(text) > MAX_NAME_LENGTH:
            rule = f"longer than {MAX_NAME_LENGTH} characters"
        elif not _LETTER.search(key):
            rule = "only digits or punctuation"
        elif (tag := language_tag(lang)) is None:
            rule = "language is not BCP 47"
        else:
            return _Named(_KIND_RANK[kind], rank, " ".join(text.split()), tag, key)
        self.report.dropped[rule] += 1
        return None

    # Joining

    def _join_claims(self) -> dict[str, list[tuple[int, str]]]:
        """Joins what the claims join, in order of evidence; returns the claimants of each id."""
        holders: dict[str, list[tuple[int, str]]] = defaultdict(list)
        unique: set[tuple[int, str, str]] = set()
        for rank, claims in self.claims.items():
            claimants = Counter(
                (scheme_of(concept_id), xref)
                for concept_id, xrefs in claims.items()
                for xref in xrefs
            )
            for concept_id, xrefs in claims.items():
                scheme, schemes = scheme_of(concept_id), Counter(map(scheme_of, xrefs))
                for xref in xrefs:
                    holders[xref].append((rank, concept_id))
                    if schemes[scheme_of(xref)] == 1 == claimants[scheme, xref]:
                        unique.add((rank, concept_id, xref))
        spellings = {concept_id: _Spelling.of(part) for concept_id, part in self.parts.items()}
        edges = []
        for xref, claimed_by in holders.items():
            agreement = _agreement(xref, {concept_id for _, concept_id in claimed_by}, spellings)
            for rank, concept_id in claimed_by:
                alone = (rank, concept_id, xref) in unique
                if alone or agreement[concept_id]:
                    # Ontologies link one to one by their editors' care; Wikidata has many editors.
                    late = scheme_of(concept_id) == "wikidata"
                    edges.append((-agreement[concept_id], late, not alone, rank, concept_id, xref))
        for level, *_, concept_id, xref in sorted(edges):
            obstacle = self.clusters.join(concept_id, xref, _EVIDENCE[-level])
            if level and obstacle.startswith(_TWO_IDS) and not exclusive(xref):
                self.split.append((concept_id, xref))
        return holders

    def _join_names(self) -> None:
        """Joins what equal names tie and nothing tells apart: first equal labels in any language,
        then an English label that is one other concept's synonym."""
        labels: dict[tuple[str, str], list[str]] = defaultdict(list)
        named: dict[tuple[str, str], list[str]] = defaultdict(list)
        for concept_id, part in self.parts.items():
            for name in part.names:
                if len(name.key) >= _MIN_LENGTH.get(name.lang, _MIN_LENGTH[""]):
                    if name.kind == 0:
                        labels[name.lang, name.key].append(concept_id)
                    if name.lang == "en":
                        named[name.lang, name.key].append(concept_id)
        for key in sorted(labels):
            self._join_alike(labels[key], "equal label", all_known=False)
        for key in sorted(labels.keys() & named.keys()):
            self._join_alike(named[key], "label equals synonym", all_known=True)

    def _join_alike(self, concept_ids: Iterable[str], reason: str, *, all_known: bool) -> None:
        roots = sorted({self.clusters.root(concept_id) for concept_id in concept_ids})
        if len(roots) > 1 and self.clusters.alike(roots, all_known):
            for other in roots[1:]:
                self.clusters.join(roots[0], other, reason)

    def _members(self) -> dict[str, list[str]]:
        """Root -> the source ids of its cluster, for clusters with a name."""
        members: dict[str, list[str]] = defaultdict(list)
        for concept_id in self.parts:
            members[self.clusters.root(concept_id)].append(concept_id)
        return {
            root: sorted(ids)
            for root, ids in members.items()
            if any(self.parts[concept_id].names for concept_id in ids)
        }

    def _hold(self, holders: Mapping[str, list[tuple[int, str]]]) -> dict[str, set[str]]:
        """Root -> the xrefs that its concept holds."""
        held: dict[str, set[str]] = defaultdict(set)
        for concept_id in self.clusters.parent:
            held[self.clusters.root(concept_id)].add(concept_id)
        for concept_id, xref in self.split:
            held[self.clusters.root(concept_id)].add(xref)
        for xref, claimed_by in holders.items():
            if xref in self.clusters.parent or exclusive(xref):
                continue
            votes: dict[str, list[int]] = defaultdict(list)
            for rank, concept_id in claimed_by:
                votes[self.clusters.root(concept_id)].append(rank)
            held[min(votes, key=lambda root: self._standing(root, votes[root]))].add(xref)
        return held

    def _standing(self, root: str, ranks: list[int]) -> tuple[int, int, int, str]:
        return -len(set(ranks)), min(ranks), -self.clusters.weight[root], root

    # The tables

    def _tables(
        self,
        members: Mapping[str, list[str]],
        ids: Mapping[str, str],
        xrefs: Mapping[str, set[str]],
        gone: Mapping[str, str | None],
    ) -> Merged:
        concepts: list[tuple[object, ...]] = []
        names: list[tuple[str, ...]] = []
        labels: dict[str, str] = {}
        for root, parts in sorted(members.items(), key=lambda item: ids[item[0]]):
            concept_id = ids[root]
            best = self._best_names([self.parts[part] for part in parts])
            labels[concept_id] = min(best, key=lambda name: (name.lang != "en", name)).text
            for name in best:
                source = self.trust[name.trust]
                self.report.sources[source].names_out += 1
                kind = NAME_KINDS[name.kind]
                names.append((concept_id, name.text, name.lang, kind, source))
            known = [self.parts[part] for part in parts]
            held = xrefs[root] - {concept_id}
            concepts.append(
                (
                    concept_id,
                    labels[concept_id],
                    min((p.description for p in known if p.description), default=(0, ""))[1],
                    _types(known, {concept_id, *held}),
                    sorted(held),
                    Status.ACTIVE.value,
                    None,
                    max((p.modified for p in known if p.modified), default=None),
                )
            )
        active = {part: ids[root] for root, parts in members.items() for part in parts}
        for concept_id, replacement in self._retirements(active, gone).items():
            own = self.retired.get(concept_id)
            label = own.names[0].text if own and own.names else labels.get(replacement or "", "")
            status = Status.RETIRED.value
            concepts.append(
                (concept_id, label or concept_id, "", [], [], status, replacement, None)
            )
        return Merged(
            _table(concepts, CONCEPTS_SCHEMA).sort_by("concept_id"),
            _table(names, NAMES_SCHEMA),
            self.report,
        )

    def _best_names(self, parts: list[_Part]) -> list[_Named]:
        best: dict[tuple[str, str], _Named] = {}
        for part in parts:
            for name in part.names:
                known = best.get((name.lang, name.key))
                if known is not None:
                    self.report.dropped["repeated"] += 1
                if known is None or name < known:
                    best[name.lang, name.key] = name
        return sorted(best.values(), key=lambda name: (name.lang, name))

    def _retirements(
        self, active: Mapping[str, str], gone: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        found = dict(gone)
        for concept_id in self.retired:
            current = self._current(concept_id)
            found[concept_id] = active.get(current) if current else None
        taken = set(active.values())
        return {key: value for key, value in found.items() if key not in taken}


class _Clusters:
    """Disjoint sets of ids that hold one id of a primary scheme, and one kind of thing, each."""

    def __init__(self, parts: Mapping[str, _Part], report: Report) -> None:
        self.parts, self.report = parts, report
        self.parent: dict[str, str] = {}
        self.ids: dict[str, dict[str, str]] = {}
        self.kinds: dict[str, frozenset[str]] = {}
        self.weight: Counter[str] = Counter()

    def root(self, node: str) -> str:
        if node not in self.parent:
            part = self.parts.get(node)
            scheme = scheme_of(node)
            self.parent[node] = node
            self.ids[node] = {scheme: node} if exclusive(node) or scheme == "umls" else {}
            self.kinds[node] = families(part.types if part else filter(None, [SCHEMES.get(scheme)]))
            self.weight[node] = len(part.names) if part else 0
        while self.parent[node] != node:
            self.parent[node] = node = self.parent[self.parent[node]]
        return node

    def join(self, one: str, other: str, reason: str) -> str:
        """Joins the clusters of two ids, or counts and returns why not."""
        a, b = sorted((self.root(one), self.root(other)))
        if a == b:
            return ""
        if obstacle := self._obstacle(a, b):
            self.report.conflicts.append((one, other, obstacle))
            return obstacle
        self.report.joins[reason] += 1
        self.parent[b] = a
        self.ids[a] = {**self.ids.pop(b), **self.ids[a]}
        self.kinds[a] |= self.kinds.pop(b)
        self.weight[a] += self.weight.pop(b)
        return ""

    def alike(self, roots: Sequence[str], all_known: bool) -> bool:
        """Whether nothing tells the clusters apart: one kind of thing (known of each, or of one
        at least), no two ids of a primary scheme or of UMLS."""
        held = Counter(scheme for root in roots for scheme in self.ids[root])
        kinds = [self.kinds[root] for root in roots if all_known or self.kinds[root]]
        return max(held.values(), default=0) <= 1 and bool(kinds and frozenset.intersection(*kinds))

    def _obstacle(self, a: str, b: str) -> str:
        for scheme in self.ids[a]:
            if scheme != "umls" and scheme in self.ids[b]:
                return f"{_TWO_IDS} {scheme}"
        if self.kinds[a] and self.kinds[b] and not self.kinds[a] & self.kinds[b]:
            return "two kinds of thing"
        return ""


def exclusive(identifier: str) -> bool:
    """Whether a concept holds one id of this kind at most. MeSH's supplementary records are no
    such ids: what they name may be a descriptor too, or become one."""
    return scheme_of(identifier) in PRIMARY and not identifier.startswith("mesh:C")


@cache
def language_tag(lang: str) -> str | None:
    """`lang` as BCP 47 writes it (``zh-Hant``, ``pt-BR``), or None if it is no such tag."""
    match = _BCP47.fullmatch(lang.replace("_", "-"))
    if match is None:
        return None
    language, script, region, variants = match.groups(default="")
    return language.lower() + script.title() + region.upper() + variants.lower()


class _Spelling(NamedTuple):
    """The normal forms of a concept's English label (``""`` if none) and of all its names."""

    label: str
    names: frozenset[str]

    @classmethod
    def of(cls, part: _Part) -> _Spelling:
        english = [name for name in part.names if name.lang == "en" and name.kind == 0]
        return cls(min(english).key if english else "", frozenset(n.key for n in part.names))


def _agreement(
    xref: str, claimants: Iterable[str], spellings: Mapping[str, _Spelling]
) -> dict[str, int]:
    """How far the names of each claimant agree with those of `xref`, or of the other claimants
    where no source names it: 2 for equal labels, 1 for a label among the names, else 0."""
    group = {concept_id: spellings[concept_id] for concept_id in claimants}
    speaker = spellings.get(xref)
    witnesses = [speaker] if speaker and speaker.names else list(group.values())
    itself = 0 if witnesses == [speaker] else 1
    labels = Counter(witness.label for witness in witnesses if witness.label)
    names = Counter(name for witness in witnesses for name in witness.names)

    def level(own: _Spelling) -> int:
        if labels[own.label] > itself:
            return 2
        others = names[own.label] > itself or any(
            label in own.names for label in labels if label != own.label
        )
        return int(others)

    return {concept_id: level(own) for concept_id, own in group.items()}


def _types(parts: Iterable[_Part], ids: Iterable[str]) -> list[str]:
    stated = {name for part in parts for name in part.types}
    if stated <= {"other"}:
        inferred = {SCHEMES[scheme] for scheme in map(scheme_of, ids) if scheme in SCHEMES}
        stated |= inferred or {"other"}
    return list(ordered(stated))


def _assign_ids(
    members: Mapping[str, list[str]], parts: Mapping[str, _Part], previous: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Gives each cluster its id; returns (root -> id, previous ids that are no more -> what
    replaces them).

    A cluster keeps the previous id that is its own member; when it holds several, the best of
    them, and the others are retired. An id whose own member left the sources goes to the cluster
    that holds most of what was its.
    """
    home = {part: root for root, ids in members.items() for part in ids}
    wanted: dict[str, Counter[str]] = defaultdict(Counter)
    for root, ids in members.items():
        for part in ids:
            if (old := previous.get(part)) is not None:
                wanted[old][root] += 1
    heirs = {
        old: home.get(old) or min(roots, key=lambda root: (-roots[root], root))
        for old, roots in wanted.items()
    }
    chosen = {
        root: min(found, key=lambda part: _preference(part, parts))
        for root, found in members.items()
    }
    claimed: dict[str, list[str]] = defaultdict(list)
    for old, root in heirs.items():
        claimed[root].append(old)
    for root, olds in claimed.items():
        chosen[root] = min(olds, key=lambda old: (home.get(old) != root, _preference(old, parts)))
    taken = set(chosen.values())
    gone: dict[str, str | None] = {
        old: chosen[heirs[old]] if old in heirs else None for old in set(previous.values()) - taken
    }
    return chosen, gone


def _preference(concept_id: str, parts: Mapping[str, _Part]) -> tuple[int, int, str]:
    """Sorts ids: the lowest QID first, then by the trust of the source that defines the id."""
    scheme, _, local = concept_id.partition(":")
    if scheme == "wikidata":
        return -1, int(local.removeprefix("Q")), concept_id
    part = parts.get(concept_id)
    return part.trust if part else len(parts), 0, concept_id


def _table(rows: list[tuple[object, ...]] | list[tuple[str, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
