"""CURIEs as the project writes them: Bioregistry's prefix in lower case, no doubled prefix."""

from __future__ import annotations

import re

# Each scheme with the form of its local ids and the spellings (lower case) that sources give it.
# A scheme that is not here says nothing about what a human-biomedical concept is equal to:
# literature, species-specific anatomy, catalogues of cell lines, web pages.
_SCHEMES: dict[str, tuple[str, str]] = {
    "wikidata": (r"Q[1-9]\d*", ""),
    "umls": (r"C\d{7}", "umls_cui"),
    "mesh": (r"[CD]\d{6}(\d{3})?", "msh"),
    "mondo": (r"\d{7}", ""),
    "doid": (r"\d{1,7}", ""),
    "hp": (r"\d{7}", "hpo"),
    "efo": (r"\d{7}", ""),
    "uberon": (r"\d{7}", ""),
    "orphanet": (r"\d+", "ordo orpha orphanet.ordo"),
    "nando": (r"\d{7}", ""),
    "omim": (r"\d{6}", "mim"),
    "omim.ps": (r"\d{6}", "omimps"),
    "ncit": (r"C\d+", "nci"),
    "snomedct": (r"\d{6,18}", "sctid snomedct_us snomed_ct snomed"),
    "icd10": (r"[A-Z]\d[\dA-Z](\.[\dA-Z]+)?", "icd-10 icd10who"),
    "icd10cm": (r"[A-Z]\d[\dA-Z](\.[\dA-Z]+)?", ""),
    "icd11": (r"\d+", "icd-11 icd11.foundation"),
    "icd9": (r"[EV]?\d{2,3}(\.\d+)?", "icd-9"),
    "icd9cm": (r"[EV]?\d{2,3}(\.\d+)?", ""),
    "gard": (r"\d+", ""),
    "meddra": (r"\d{8}", ""),
    "chebi": (r"\d+", ""),
    "drugbank": (r"DB\d{5}", ""),
    "cas": (r"\d{2,7}-\d\d-\d", ""),
    "atc": (r"[A-Z](\d\d([A-Z]([A-Z](\d\d)?)?)?)?", ""),
    "ncbitaxon": (r"\d+", "taxonomy"),
    "ncbigene": (r"\d+", "entrez"),
    "hgnc": (r"\d+", ""),
    "uniprot": (r"[A-Z\d]{6}([A-Z\d]{4})?", "up swissprot"),
    "go": (r"\d{7}", ""),
    "cl": (r"\d{7}", ""),
    "fma": (r"\d+", "fmaid"),
}
_UNPADDED = {"gard"}
"""Schemes whose ids some sources fill with zeros in front, and others do not."""

_PREFIX = {
    spelling: prefix
    for prefix, (_, spellings) in _SCHEMES.items()
    for spelling in (prefix, *spellings.split())
}
_LOCAL = {prefix: re.compile(pattern) for prefix, (pattern, _) in _SCHEMES.items()}

_IRIS = (
    ("http://www.wikidata.org/entity/", "wikidata"),
    ("http://www.orpha.net/ORDO/Orphanet_", "orphanet"),
    ("http://nanbyodata.jp/ontology/NANDO_", "nando"),
    ("http://linkedlifedata.com/resource/umls/id/", "umls"),
    ("http://www.ebi.ac.uk/efo/EFO_", "efo"),
)
# IRIs of which one part names the scheme and the other the id.
_PATTERNS = (
    re.compile(r"http://purl\.obolibrary\.org/obo/([A-Za-z]+)_(\w+)"),
    re.compile(r"https?://(?:identifiers\.org|bioregistry\.io)/([\w.]+)[/:](.+)"),
)
# UMLS releases name their vocabularies with a date: SNOMEDCT_US_2023_03_01.
_DATED = re.compile(r"_\d{4}_\d{2}_\d{2}$")


def scheme_named(spelling: str) -> str | None:
    """The prefix of the scheme that some source spells so (`mesh` for `MSH`), or None."""
    return _PREFIX.get(_DATED.sub("", spelling.strip().lower()))


def curie(scheme: str, local: str) -> str | None:
    """The CURIE of a local id in a scheme as some source spells them, or None if the scheme is
    not one that the project knows or the id does not have its scheme's form."""
    prefix = scheme_named(scheme)
    if prefix is None:
        return None
    local = local.strip()
    head, colon, tail = local.partition(":")
    if colon and _PREFIX.get(head.lower()) == prefix:
        local = tail
    if prefix in _UNPADDED:
        local = local.lstrip("0")
    return f"{prefix}:{local}" if _LOCAL[prefix].fullmatch(local) else None


def parse(text: str) -> str | None:
    """The CURIE that a whole CURIE or IRI of some source stands for, or None (see `curie`)."""
    text = text.strip()
    for base, prefix in _IRIS:
        if text.startswith(base):
            return curie(prefix, text[len(base) :])
    for pattern in _PATTERNS:
        if match := pattern.fullmatch(text):
            return curie(match[1], match[2])
    scheme, colon, local = text.partition(":")
    return curie(scheme, local) if colon else None


def scheme_of(identifier: str) -> str:
    """`mondo` for `mondo:0005068`."""
    return identifier.partition(":")[0]


def last_part(name: str) -> str:
    """`exactMatch` for `skos:exactMatch` or the IRI that it stands for."""
    return re.split(r"[#/:]", name)[-1]
