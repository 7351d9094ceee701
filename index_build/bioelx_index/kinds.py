"""How each source's own classes map to the closed list of types: the one table of the project."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from bioelx.types import TYPES, type_mask

SCHEMES: dict[str, str] = {
    "mondo": "disease",
    "doid": "disease",
    "orphanet": "disease",
    "omim.ps": "disease",
    "nando": "disease",
    "hp": "phenotype",
    "uberon": "anatomy",
    "fma": "anatomy",
    "cl": "anatomy",
    "chebi": "chemical",
    "drugbank": "chemical",
    "cas": "chemical",
    "ncbitaxon": "organism",
    "hgnc": "gene",
    "ncbigene": "gene",
    "uniprot": "chemical",  # proteins
    "go": "process",
}
"""What a scheme holds, where it holds things of one type only. An id in such a scheme also gives
its type to a concept that no class speaks for."""

BRANCHES: dict[str, str] = {
    "hp:0000118": "phenotype",  # phenotypic abnormality
    "hp:0032443": "phenotype",  # past medical history
    "hp:0032223": "phenotype",  # blood group
    "hp:0000001": "other",  # the root: modifiers, frequencies, modes of inheritance
    "efo:0000408": "disease",
    "efo:0000616": "disease",  # neoplasm
    "efo:0000651": "phenotype",
    "efo:0000786": "anatomy",
    "efo:0001941": "anatomy",  # blood component
    "efo:0003786": "chemical",  # cytokine
    "efo:0004323": "process",  # mental process
    "efo:0001444": "procedure",  # measurement
    "efo:0002694": "procedure",  # experimental process
    "efo:0002772": "procedure",  # assay by molecule
    "efo:0002773": "procedure",  # assay by instrument
    "efo:0000001": "other",  # the root, and so all that is nearer to no other branch
    "go:0005575": "anatomy",  # cellular component
    "chebi:50906": "other",  # role: what a chemical does, not what it is
}
"""Branches of ontologies that hold things of one type; a term is of the nearest one's, and of what
its scheme holds if it lies in none."""

EXPERIMENTAL = {"procedure", "other"}
"""Where a branch of the Experimental Factor Ontology holds variables and materials of experiments:
no text is linked to those that no other scheme knows."""

MESH_TREE: dict[str, str] = {
    "A": "anatomy",
    "B": "organism",
    "C": "disease",
    "C23.550": "process",  # pathologic processes
    "C23.888": "phenotype",  # signs and symptoms
    "D": "chemical",
    "E": "procedure",
    "E07": "device",  # equipment and supplies
    "F01": "process",  # behaviour
    "F02": "process",  # psychological phenomena
    "F03": "disease",  # mental disorders
    "F04": "procedure",  # behavioural disciplines and activities
    "G": "process",
    "J01": "other",  # technology and industry
    "J02": "chemical",  # food and beverages
}
"""MeSH's tree; the longest prefix wins, and all else is `other`."""

WIKIDATA_CLASSES: dict[str, str] = {
    "Q12136": "disease",
    "Q929833": "disease",  # rare disease
    "Q18123741": "disease",  # infectious disease
    "Q169872": "phenotype",  # symptom
    "Q1441305": "phenotype",  # medical sign
    "Q12140": "chemical",  # medication
    "Q59199015": "chemical",  # group of stereoisomers
    "Q11173": "chemical",  # chemical compound
    "Q113145171": "chemical",  # type of chemical entity
    "Q8054": "chemical",  # protein
    "Q178593": "chemical",  # macromolecules, as the slice has them: proteins
    "Q417841": "chemical",  # protein family
    "Q7644128": "chemical",  # parts of proteins
    "Q7187": "gene",
    "Q4936952": "anatomy",  # anatomical structure
    "Q28845870": "anatomy",  # biological structure
    "Q796194": "procedure",  # medical procedure
    "Q179661": "procedure",  # treatment
    "Q16521": "organism",  # taxon
    "Q55983715": "organism",  # organisms known by a common name
    "Q764": "organism",  # fungus
    "Q808": "organism",  # virus
    "Q10876": "organism",  # bacteria
}
"""Items by their class (P31, or what follows from P31 and P279); all else is unknown."""

UMLS_SEMANTIC_TYPES: dict[str, str] = {
    tui: name
    for name, tuis in {
        "disease": "T019 T020 T037 T046 T047 T048 T049 T050 T190 T191",
        "phenotype": "T033 T034 T184",
        "chemical": "T103 T104 T109 T114 T116 T120 T121 T122 T123 T125 T126 T127 T129 T130 T131 "
        "T168 T192 T195 T196 T197 T200",
        "anatomy": "T017 T018 T021 T022 T023 T024 T025 T026 T029 T030 T031",
        "organism": "T001 T002 T004 T005 T007 T008 T010 T011 T012 T013 T014 T015 T016 T194 T204",
        "gene": "T028 T085 T086 T087 T088",
        "procedure": "T058 T059 T060 T061 T062 T063 T065",
        "device": "T074 T075 T203",
        "process": "T038 T039 T040 T041 T042 T043 T044 T045 T067 T068 T069 T070",
    }.items()
    for tui in tuis.split()
}
"""Semantic types of the UMLS by their TUI, after its semantic groups; all else is `other`."""

_KINDS_OF_THING = (
    ("disease", "phenotype"),
    ("chemical", "gene"),
    ("anatomy",),
    ("organism",),
    ("procedure",),
    ("device",),
)


@cache
def types_in(mask: int) -> tuple[str, ...]:
    """The types whose bits are set, in the order of the closed list; `other` only if it is all
    that is known."""
    found = tuple(name for place, name in enumerate(TYPES) if mask >> place & 1)
    return found if len(found) == 1 else tuple(name for name in found if name != "other")


@cache
def kinds_of_thing(mask: int) -> int:
    """The kinds of thing, as bits, that the types in `mask` stand for. No thing is of two kinds:
    what is a disease to one source may be a phenotype to another, but never a chemical. `process`
    and `other` say nothing."""
    return sum(1 << place for place, types in enumerate(_KINDS_OF_THING) if mask & type_mask(types))


def ordered(types: Iterable[str]) -> tuple[str, ...]:
    """Distinct types in the order of the closed list; `other` only if it is all that is known."""
    return types_in(type_mask(types))


def mesh_types(tree_numbers: Iterable[str]) -> tuple[str, ...]:
    """The types of a MeSH descriptor by its places in the tree."""
    return ordered(_mesh_type(number) for number in tree_numbers if number)


def _mesh_type(number: str) -> str:
    while number:
        if number in MESH_TREE:
            return MESH_TREE[number]
        number = number[: number.rfind(".")] if "." in number else number[:-1]
    return "other"
