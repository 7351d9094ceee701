"""From JSON to items: whatever Wikibase may write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx_index.sources.wikidata.dump.entity import MISSHAPEN, belongs, item_of
from bioelx_index.sources.wikidata.dump.scan import Scanner, Search
from bioelx_index.sources.wikidata.folder import items_of
from bioelx_index.sources.wikidata.item import ItemBuilder
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.vocabulary import wikipedia_language

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CODES = st.sampled_from(["en", "de", "mul", "zh-hant", "zh-tw", "simple", "no", "be-x-old", "als"])
SITES = st.sampled_from(["enwiki", "zh_min_nanwiki", "simplewiki", "commonswiki", "enwikisource"])
RANKS = st.sampled_from(["preferred", "normal", "normal", "deprecated"])
QIDS = st.integers(1, 10**9)
MESH = st.sampled_from(["D000001", "D000002", "C000003", "nonsense"])

# Of a statement: rank, and a value; None for one that is unknown, False for one that there is not.
GROUPS = {
    "P486": MESH,
    "P494": st.sampled_from(["I21", "I21.0", "nonsense"]),
    "P31": QIDS,
    "P279": QIDS,
    "P1843": st.tuples(TEXT, CODES),
    "P2093": TEXT,
}
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        prop: st.lists(
            st.tuples(RANKS, st.one_of(values, values, st.none(), st.just(False))), max_size=4
        )
        for prop, values in GROUPS.items()
    },
)


def snak(prop: str, value: Any) -> dict[str, Any]:
    if value is None or value is False:
        return {"snaktype": "somevalue" if value is None else "novalue", "property": prop}
    if isinstance(value, int):
        value = {"entity-type": "item", "numeric-id": value, "id": f"Q{value}"}
    elif isinstance(value, tuple):
        value = {"text": value[0], "language": value[1]}
    return {"snaktype": "value", "property": prop, "datavalue": {"value": value, "type": "any"}}


def best(statements: list[tuple[str, Any]]) -> list[Any]:
    """The values of the best rank, after Wikibase's words for it: preferred ones, else normal ones;
    that there is no value is none."""
    for rank in ("preferred", "normal"):
        if found := [value for each, value in statements if each == rank]:
            return [value for value in found if value is not False]
    return []


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # on a busy machine
@given(
    qid=QIDS,
    labels=st.dictionaries(CODES, TEXT, max_size=4),
    aliases=st.dictionaries(CODES, st.lists(TEXT, min_size=1, max_size=3), max_size=3),
    description=st.none() | TEXT,
    sitelinks=st.dictionaries(SITES, TEXT, max_size=3),
    claims=CLAIMS,
    modified=st.none() | st.datetimes(datetime(2012, 1, 1), datetime(2030, 1, 1)),
    ascii_only=st.booleans(),
)
def test_an_item_is_what_its_values_make(
    qid: int,
    labels: dict[str, str],
    aliases: dict[str, list[str]],
    description: str | None,
    sitelinks: dict[str, str],
    claims: dict[str, list[tuple[str, Any]]],
    modified: datetime | None,
    ascii_only: bool,
) -> None:
    built = ItemBuilder(qid)
    for code, text in labels.items():
        built.add_name(text, code, "label")
    for code, texts in aliases.items():
        for text in texts:
            built.add_name(text, code, "alias")
    for site, title in sitelinks.items():
        if code := wikipedia_language(site):
            built.add_name(title, code, "title")
    built.description = description or ""
    values = {prop: best(statements) for prop, statements in claims.items()}
    for prop in ("P31", "P279"):
        for each in values.get(prop, ()):
            if each is not None:
                built.add_class(each)
    for prop in ("P486", "P494"):
        for each in values.get(prop, ()):
            if each is not None:
                built.add_identifier(prop, each)
    for each in values.get("P1843", ()):
        if each is not None:
            built.add_name(*each, "alias")
    if modified:
        modified = modified.replace(microsecond=0, tzinfo=UTC)
        built.modified = modified

    entity = {
        "type": "item",
        "id": f"Q{qid}",
        "labels": {c: {"language": c, "value": t} for c, t in labels.items()} or [],
        "descriptions": {"en": {"language": "en", "value": description}} if description else [],
        "aliases": {c: [{"language": c, "value": t} for t in ts] for c, ts in aliases.items()}
        or [],
        "claims": {
            prop: [{"mainsnak": snak(prop, value), "rank": rank} for rank, value in statements]
            for prop, statements in claims.items()
            if statements
        }
        or [],
        "sitelinks": {s: {"site": s, "title": t} for s, t in sitelinks.items()} or [],
    }
    if modified:
        entity["modified"] = f"{modified:%Y-%m-%dT%H:%M:%SZ}"
    line = json.dumps(entity, ensure_ascii=ascii_only).encode()

    selection = Selection()
    expected = built.build(selection)
    assert item_of(orjson.loads(line), selection) == expected
    # And by way of a look at the bytes of the line, among others.
    block = memoryview(b"[\n" + line + b",\n" + line.replace(b'"P486"', b'"P487"') + b"\n]\n")
    scan = Scanner(Search(selection, edges=True))(block)
    belong = bool(values.get("P486") or values.get("P494"))
    found = items_of(scan.items)
    assert found[:1] == ([expected] if belong else [])
    assert len(found) == belong + bool(values.get("P494"))
    above = sorted({each for each in values.get("P279", ()) if each is not None})
    assert sorted({tuple(edge) for edge in scan.edges.tolist()}) == [(qid, each) for each in above]
    assert (scan.lines, scan.entities, scan.malformed) == (4, 2, [])


@pytest.mark.parametrize(
    ("site", "code"),
    [
        ("enwiki", "en"),
        ("simplewiki", "simple"),
        ("zh_min_nanwiki", "zh-min-nan"),
        ("be_x_oldwiki", "be-x-old"),
        ("commonswiki", None),
        ("specieswiki", None),
        ("wikidatawiki", None),
        ("metawiki", None),
        ("mediawikiwiki", None),
        ("sourceswiki", None),
        ("outreachwiki", None),
        ("incubatorwiki", None),
        ("wikimaniawiki", None),
        ("foundationwiki", None),
        ("wikifunctionswiki", None),
        ("testwiki", None),
        ("enwikivoyage", None),
        ("dewiktionary", None),
    ],
)
def test_only_wikipedias_have_titles(site: str, code: str | None) -> None:
    assert wikipedia_language(site) == code


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"item","id":"Q1","claims":{"P486":[{"mainsnak":{},"rank":"normal"}]}}',
        '{"type":"item","id":"Q1","claims":{"P486":{"a":1}}}',
        '{"type":"item","id":7,"claims":{"P486":[]}}',
        '{"type":"item","claims":{"P486":[]}}',
        '{"P486":',
        '{"type":"item","id":"Q1","labels":{"en":{"language":"en","value":"\\ud83d"}},"P486":1}',
        "{" + '"P486":{"a":' * 3000 + "}",
    ],
)
def test_what_is_no_entity_is_told_of(line: str) -> None:
    claims = {"P486": [{"mainsnak": snak("P486", "D000001"), "rank": "normal"}]}
    others = {name: [] for name in ("labels", "descriptions", "aliases", "sitelinks")}
    whole = json.dumps({"type": "item", "id": "Q2", "claims": claims, **others})
    lines = [whole, line if line.endswith("}") else line + "}", whole]
    scan = Scanner(Search(Selection()))(memoryview(",\n".join(lines).encode()))
    [malformed] = scan.malformed
    assert (malformed.line, malformed.offset) == (1, len(whole) + 2)
    assert malformed.problem
    assert [item.qid for item in items_of(scan.items)] == [2, 2]


def test_items_of_classes_belong_to_their_trees() -> None:
    entity = {"id": "Q5", "claims": {"P31": [{"mainsnak": snak("P31", 7), "rank": "normal"}]}}
    selection = Selection.of(trees=["Q7"], defaults=False)
    assert belongs(entity, selection, {7})
    assert belongs(entity, selection, {5})
    assert not belongs(entity, selection, {8})


def test_an_entity_without_half_of_its_parts_is_misshapen() -> None:
    with pytest.raises(MISSHAPEN):
        item_of({"id": "Q1", "labels": "none"}, Selection())
