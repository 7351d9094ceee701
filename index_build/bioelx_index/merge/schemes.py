"""What the ids of each scheme say about what a concept may hold."""

from __future__ import annotations

from bioelx_index.sources.curie import scheme_of

WIKIDATA = "wikidata"

LIMITS: dict[str, int] = {
    **dict.fromkeys((WIKIDATA, "mondo", "doid", "hp", "efo", "mesh", "orphanet", "uberon"), 1),
    **dict.fromkeys(("chebi", "drugbank", "ncbitaxon", "hgnc"), 1),
    "nando": 5,
}
"""Primary schemes, and how many ids of each a concept may hold. Most keep one id per thing by
their own rules; NANDO has one for each of Japan's lists of diseases that a thing is on."""

CLASSIFICATIONS = {"icd10", "icd10cm", "icd11", "icd9", "icd9cm", "atc"}
"""Schemes whose codes stand for groups of things: never identities."""


def limited(identifier: str) -> bool:
    """Whether a concept may hold only so many ids of this kind. MeSH's supplementary records are no
    such ids: what they name may be a descriptor too, or become one."""
    return scheme_of(identifier) in LIMITS and not identifier.startswith("mesh:C")
