"""Wikidata's properties and language codes, and what they mean here."""

from __future__ import annotations

from functools import cache

IDENTIFIERS: dict[str, str] = {
    "P2892": "umls",
    "P486": "mesh",
    "P699": "doid",
    "P3841": "hp",
    "P5270": "mondo",
    "P1550": "orphanet",
    "P492": "omim",
    "P1554": "uberon",
    "P1402": "fma",
    "P683": "chebi",
    "P715": "drugbank",
    "P686": "go",
    "P5806": "snomedct",
    "P231": "cas",
    "P685": "ncbitaxon",
    "P351": "ncbigene",
    "P352": "uniprot",
}
"""Identifier properties that say what an item is, and their schemes."""

CLASSIFICATIONS: dict[str, str] = {
    "P494": "icd10",
    "P4229": "icd10cm",
    "P7807": "icd11",
    "P493": "icd9",
    "P267": "atc",
}
"""Properties whose codes stand for groups of things: related, never equivalent."""

MESH_TERM = "P6680"
"""The id of one of a MeSH concept's terms: it shows that an item belongs, and identifies nothing
that the project knows."""

INSTANCE_OF, SUBCLASS_OF = "P31", "P279"
COMMON_NAME = "P1843"  # of a taxon

ENTITY = "http://www.wikidata.org/entity/"

EVERY_LANGUAGE = "mul"
"""Of a name that is the same in all languages that have none of their own."""

LANGUAGES = {
    "als": "gsw",
    "bat-smg": "sgs",
    "be-x-old": "be-tarask",
    "crh-latn": "crh-Latn",
    "de-formal": "de",
    "eml": "egl",
    "en-simple": "en",
    "fiu-vro": "vro",
    "map-bms": "jv-x-bms",
    "mo": "ro",
    "nl-informal": "nl",
    "no": "nb",
    "nrm": "nrf",
    "roa-rup": "rup",
    "roa-tara": "nap-x-tara",
    "simple": "en",
    "zh-classical": "lzh",
    "zh-cn": "zh-Hans-CN",
    "zh-hk": "zh-Hant-HK",
    "zh-min-nan": "nan",
    "zh-mo": "zh-Hant-MO",
    "zh-my": "zh-Hans-MY",
    "zh-sg": "zh-Hans-SG",
    "zh-tw": "zh-Hant-TW",
    "zh-yue": "yue",
}
"""Wikidata's codes, in lower case, that are not the BCP 47 tag of their language; both the codes of
its JSON and those that its RDF puts in their place."""


@cache
def language_of(code: str) -> str:
    """The BCP 47 tag of one of Wikidata's language codes, as its case rules write it."""
    code = code.replace("_", "-").lower()
    if known := LANGUAGES.get(code):
        return known
    first, *rest = code.split("-")
    singleton = False
    tag = [first]
    for part in rest:
        singleton = singleton or len(part) == 1
        shape = {2: str.upper, 4: str.title}.get(0 if singleton else len(part), str)
        tag.append(shape(part))
    return "-".join(tag)
