"""What the ids of each scheme say about what a concept may hold."""

from __future__ import annotations

from bioelx_index.sources.curie import scheme_of

PRIMARY = {
    *("wikidata", "mondo", "doid", "hp", "efo", "mesh", "orphanet", "uberon"),
    *("chebi", "drugbank", "ncbitaxon", "hgnc"),
}
"""Schemes of which a concept holds one id at most: each keeps one id per thing by its own rules.
(NANDO does not: what is on two of Japan's lists of diseases has two ids.)"""

CLASSIFICATIONS = {"icd10", "icd10cm", "icd9", "icd9cm", "atc"}
"""Schemes whose codes stand for groups of things: never identities."""


def exclusive(identifier: str) -> bool:
    """Whether a concept holds one id of this kind at most. MeSH's supplementary records are no
    such ids: what they name may be a descriptor too, or become one."""
    return scheme_of(identifier) in PRIMARY and not identifier.startswith("mesh:C")
