"""The same items by both routes: from JSON, and from the RDF that Wikidata makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bioelx_index.benchmark.entities import as_dump
from bioelx_index.endpoint import local_endpoint
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata import sparql
from bioelx_index.sources.wikidata.folder import Pull, read_items
from bioelx_index.sources.wikidata.selection import Selection


def statement(prop: str, value: Any, rank: str = "normal") -> dict[str, Any]:
    """A statement; a value that is None is unknown, and one that is False is known not to be."""
    snak: dict[str, Any] = {"snaktype": "value", "property": prop}
    if value is None or value is False:
        snak["snaktype"] = "novalue" if value is False else "somevalue"
    elif isinstance(value, int):
        item = {"entity-type": "item", "numeric-id": value, "id": f"Q{value}"}
        snak["datavalue"] = {"value": item, "type": "wikibase-entityid"}
    elif isinstance(value, tuple):
        text = {"text": value[0], "language": value[1]}
        snak["datavalue"] = {"value": text, "type": "monolingualtext"}
    else:
        snak["datavalue"] = {"value": value, "type": "string"}
    return {"mainsnak": snak, "type": "statement", "id": "Q1$X", "rank": rank}


def claims(**groups: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """Statements by property; one with a rank is given as ("preferred", value)."""
    return {
        prop: [
            statement(prop, each[1], each[0])
            if isinstance(each, tuple) and each[0] in ("preferred", "normal", "deprecated")
            else statement(prop, each)
            for each in values
        ]
        for prop, values in groups.items()
    }


def terms(texts: dict[str, str]) -> dict[str, dict[str, str]]:
    return {code: {"language": code, "value": text} for code, text in texts.items()}


def links(titles: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {site: {"site": site, "title": t, "badges": []} for site, t in titles.items()}


# What Wikidata's JSON says of some items, and below what its RDF says of the same: by hand, after
# https://www.mediawiki.org/wiki/Wikibase/Indexing/RDF_Dump_Format and MediaWiki's LanguageCode.php.
ENTITIES = [
    {  # names in all kinds of codes
        "type": "item",
        "id": "Q12152",
        "labels": terms(
            {
                "en": "myocardial infarction",
                "mul": "MI",
                "zh-hans": "心肌梗死",
                "zh-hant": "心肌梗塞",
                "zh-tw": "心肌梗塞症",
                "simple": "heart attack",
                "nb": "hjerteinfarkt",
                "be-tarask": "інфаркт міякарду",
                "sr-ec": "инфаркт миокарда",
                "sr-el": "infarkt miokarda",
                "de-formal": "Ihr Herzinfarkt",
                "cbk-zam": "ataque",
                "pt-br": "infarto",
                "mo": "инфаркт",
            }
        ),
        "aliases": {
            "en": [{"language": "en", "value": "heart attack"}, {"language": "en", "value": "MI"}],
            "th": [{"language": "th", "value": 'กล้ามเนื้อ"หัวใจ\\ตาย'}],
        },
        "descriptions": terms({"en": "blocked artery", "en-gb": "other", "de": "Krankheit"}),
        "sitelinks": links(
            {
                "enwiki": "Myocardial infarction",
                "fiwiki": "Infarkti (sairaus)",
                "zhwiki": "心肌梗死（医学）",
                "nowiki": "Hjerteinfarkt",
                "alswiki": "Herzinfarkt",
                "be_x_oldwiki": "Інфаркт",
                "zh_min_nanwiki": "Sim-ki",
                "zh_yuewiki": "心肌梗塞",
                "simplewiki": "Heart attack",
                "bat_smgwiki": "Infarkts",
                "cbk_zamwiki": "Ataque",
                "commonswiki": "Category:Myocardial infarction",
                "specieswiki": "Cor",
                "wikidatawiki": "Q1",
                "metawiki": "Heart",
                "mediawikiwiki": "Heart",
                "sourceswiki": "Heart",
                "enwikivoyage": "Heart",
                "enwikisource": "Heart",
                "dewikiquote": "Herz",
            }
        ),
        "claims": claims(
            P31=[112193867, ("deprecated", 5)],
            P279=[190805, ("normal", None)],
            P486=["D009203"],
            P2892=["C0027051", ("deprecated", "C0000001")],
            P494=[("preferred", "I21"), ("normal", "I22")],
            P1748=["C27996"],
        ),
        "lastrevid": 1,
        "modified": "2025-10-01T12:00:00Z",
    },
    {  # the best rank says that there is none, or an unknown one
        "type": "item",
        "id": "Q190805",
        "labels": terms({"en": "heart disease"}),
        "descriptions": [],
        "aliases": [],
        "claims": claims(
            P279=[12136],
            P486=[("preferred", False), ("normal", "D006331")],
            P699=[("preferred", None), ("normal", "DOID:114")],
            P492=[("deprecated", "600001")],
        ),
        "sitelinks": [],
        "lastrevid": 2,
        "modified": "2024-02-03T04:05:06Z",
    },
    {  # a deprecated id only, and one that is known not to be: does not belong
        "type": "item",
        "id": "Q12136",
        "labels": terms({"en": "disease"}),
        "descriptions": [],
        "aliases": [],
        "claims": claims(P486=[("deprecated", "D004194")], P2892=[False]),
        "sitelinks": [],
        "modified": "2024-02-03T04:05:06Z",
    },
    {  # common names of a taxon; selected by a scheme that is asked for; no labels
        "type": "item",
        "id": "Q1000262",
        "labels": [],
        "descriptions": terms({"en": "species of bird"}),
        "aliases": [],
        "claims": claims(
            P1843=[("Rotbauchwürger", "de"), ("preferred", ("赤腹", "zh-hant")), ("x", "mul")],
            P31=[16521],
            P685=["239391", "no number"],
        ),
        "sitelinks": links({"dewiki": "Rotbauchwürger"}),
        "modified": "2024-02-03T04:05:06Z",
    },
    {  # nothing but an id that says nothing, and an unknown class
        "type": "item",
        "id": "Q31",
        "labels": [],
        "descriptions": [],
        "aliases": [],
        "claims": claims(P486=["22"], P31=[None]),
        "sitelinks": [],
        "modified": "2024-02-03T04:05:06Z",
    },
    {  # an instance of what is below a tree, without any id
        "type": "item",
        "id": "Q7000",
        "labels": terms({"en": "one infarction"}),
        "descriptions": [],
        "aliases": [],
        "claims": claims(P31=[12152]),
        "sitelinks": [],
        "modified": "2024-02-03T04:05:06Z",
    },
    {  # the id qualifies another statement
        "type": "item",
        "id": "Q7001",
        "labels": terms({"en": "no infarction"}),
        "descriptions": [],
        "aliases": [],
        "claims": {
            "P2293": [
                {
                    **statement("P2293", 12152),
                    "qualifiers": {"P486": [statement("P486", "D009203")["mainsnak"]]},
                    "qualifiers-order": ["P486"],
                }
            ]
        },
        "sitelinks": [],
        "modified": "2024-02-03T04:05:06Z",
    },
    {  # properties are no items, whatever they have
        "type": "property",
        "id": "P486",
        "datatype": "external-id",
        "labels": terms({"en": "MeSH descriptor ID"}),
        "descriptions": [],
        "aliases": [],
        "claims": claims(P486=["D000001"], P31=[12152]),
        "modified": "2024-02-03T04:05:06Z",
    },
]

TURTLE = (
    """\
@prefix wd: <http://www.wikidata.org/entity/> .
@prefix wdt: <http://www.wikidata.org/prop/direct/> .
@prefix wdno: <http://www.wikidata.org/prop/novalue/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix schema: <http://schema.org/> .
@prefix data: <https://www.wikidata.org/wiki/Special:EntityData/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
wd:Q12152 rdfs:label "myocardial infarction"@en, "MI"@mul, "心肌梗死"@zh-hans, "心肌梗塞"@zh-hant,
        "心肌梗塞症"@zh-Hant-TW, "heart attack"@en-simple, "hjerteinfarkt"@nb,
        "інфаркт міякарду"@be-tarask, "инфаркт миокарда"@sr-Cyrl, "infarkt miokarda"@sr-Latn,
        "Ihr Herzinfarkt"@de-x-formal, "ataque"@cbk, "infarto"@pt-br, "инфаркт"@ro-Cyrl-MD ;
    skos:altLabel "heart attack"@en, "MI"@en, "กล้ามเนื้อ\\"หัวใจ\\\\ตาย"@th ;
    schema:description "blocked artery"@en, "other"@en-gb, "Krankheit"@de ;
    wdt:P31 wd:Q112193867 ; wdt:P279 wd:Q190805, [] ; wdt:P486 "D009203" ; wdt:P2892 "C0027051" ;
    wdt:P494 "I21" ; wdt:P1748 "C27996" .
data:Q12152 a schema:Dataset ; schema:about wd:Q12152 ;
    schema:dateModified "2025-10-01T12:00:00Z"^^xsd:dateTime .
"""
    + "".join(
        f"<https://{address}> a schema:Article ; schema:about wd:Q12152 ; "
        f'schema:name "{title}"@{tag} .\n'
        for address, title, tag in (
            ("en.wikipedia.org/wiki/Myocardial_infarction", "Myocardial infarction", "en"),
            ("fi.wikipedia.org/wiki/Infarkti_(sairaus)", "Infarkti (sairaus)", "fi"),
            ("zh.wikipedia.org/wiki/X", "心肌梗死（医学）", "zh"),
            ("no.wikipedia.org/wiki/Hjerteinfarkt", "Hjerteinfarkt", "nb"),
            ("als.wikipedia.org/wiki/Herzinfarkt", "Herzinfarkt", "gsw"),
            ("be-tarask.wikipedia.org/wiki/X", "Інфаркт", "be-tarask"),
            ("zh-min-nan.wikipedia.org/wiki/Sim-ki", "Sim-ki", "nan"),
            ("zh-yue.wikipedia.org/wiki/X", "心肌梗塞", "yue"),
            ("simple.wikipedia.org/wiki/Heart_attack", "Heart attack", "en-simple"),
            ("bat-smg.wikipedia.org/wiki/Infarkts", "Infarkts", "sgs"),
            ("cbk-zam.wikipedia.org/wiki/Ataque", "Ataque", "cbk"),
            ("commons.wikimedia.org/wiki/Category:X", "Category:Myocardial infarction", "en"),
            ("species.wikimedia.org/wiki/Cor", "Cor", "en"),
            ("www.wikidata.org/wiki/Q1", "Q1", "en"),
            ("meta.wikimedia.org/wiki/Heart", "Heart", "en"),
            ("www.mediawiki.org/wiki/Heart", "Heart", "en"),
            ("wikisource.org/wiki/Heart", "Heart", "en"),
            ("en.wikivoyage.org/wiki/Heart", "Heart", "en"),
            ("en.wikisource.org/wiki/Heart", "Heart", "en"),
            ("de.wikiquote.org/wiki/Herz", "Herz", "de"),
        )
    )
    + """\
wd:Q190805 rdfs:label "heart disease"@en ; wdt:P279 wd:Q12136 ; a wdno:P486 ; wdt:P699 [] .
wd:Q12136 rdfs:label "disease"@en ; a wdno:P2892 .
wd:Q1000262 schema:description "species of bird"@en ; wdt:P1843 "赤腹"@zh-hant ; wdt:P31 wd:Q16521 ;
    wdt:P685 "239391", "no number" .
<https://de.wikipedia.org/wiki/X> schema:about wd:Q1000262 ; schema:name "Rotbauchwürger"@de .
wd:Q31 wdt:P486 "22" ; wdt:P31 [] .
wd:Q7000 rdfs:label "one infarction"@en ; wdt:P31 wd:Q12152 .
wd:Q7001 rdfs:label "no infarction"@en ; wdt:P2293 wd:Q12152 .
wd:P486 rdfs:label "MeSH descriptor ID"@en ; wdt:P486 "D000001" ; wdt:P31 wd:Q12152 .
"""
    + "".join(
        f"data:{name} schema:about wd:{name} ; "
        'schema:dateModified "2024-02-03T04:05:06Z"^^xsd:dateTime .\n'
        for name in ("Q190805", "Q12136", "Q1000262", "Q31", "Q7000", "Q7001", "P486")
    )
)


SELECTIONS = {
    "schemes": (Selection.of(schemes=["ncbitaxon"]), {12152, 190805, 31, 1000262}),
    "trees": (Selection.of(trees=["Q190805", "Q16521"]), {12152, 190805, 31, 7000, 1000262}),
    "languages": (Selection.of(languages=["zh", "en", "sr-Latn"]), {12152, 190805, 31}),
    "everything": (
        Selection(everything=True),
        {12152, 190805, 12136, 1000262, 31, 7000, 7001},
    ),
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("rdf") / "some.ttl"
    path.write_text(TURTLE, encoding="utf-8")
    with local_endpoint(path) as url:
        yield url


@pytest.mark.parametrize("name", SELECTIONS)
def test_both_routes_give_the_same_items(
    name: str,
    endpoint: str,
    tmp_path: Path,
    pull_from: Callable[..., Pull],
    stages: Stages,
) -> None:
    selection, belong = SELECTIONS[name]
    dump = b"".join(as_dump(json.dumps(entity).encode() for entity in ENTITIES))
    from_dump = pull_from(dump, selection)
    from_rdf = sparql.pull(endpoint, tmp_path / "rdf", selection, user_agent="", stages=stages)
    one, other = (
        [*read_items(tmp_path / folder / "records.parquet")] for folder in ("pull", "rdf")
    )
    assert {item.qid for item, _ in one} == belong
    for item, same in zip(one, other, strict=True):
        assert item == same
    assert from_dump.sha256 == from_rdf.sha256
