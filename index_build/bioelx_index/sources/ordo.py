"""The Orphanet Rare Disease Ontology as an OBO Graphs document.

https://github.com/geneontology/obographs
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bioelx.types import Name, Status
from bioelx_index.kinds import SCHEMES
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse
from bioelx_index.sources.files import read_document

_OBSOLETE = "OBSOLETE: "
# Classes that are genes have cross-references to these; disorders have none.
_GENES = ("HGNC:", "Ensembl:", "SwissProt:", "Genatlas:")


@dataclass(frozen=True, slots=True)
class _Value:
    val: str


@dataclass(frozen=True, slots=True)
class _Meta:
    definition: _Value = _Value("")
    synonyms: tuple[_Value, ...] = ()
    xrefs: tuple[_Value, ...] = ()
    subsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Node:
    id: str
    lbl: str = ""
    meta: _Meta = _Meta()


@dataclass(frozen=True, slots=True)
class _Graph:
    nodes: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Document:
    """An OBO Graphs document, as far as it is read."""

    graphs: tuple[_Graph, ...]


_DOCUMENT = TypeAdapter(_Document)


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads disorders, their groups and subtypes, and the genes that the ontology links them to;
    what it classifies them by (countries, ages of onset, modes of inheritance) has neither subset
    nor cross-reference and is passed over.

    Raises:
        FileError: not an OBO Graphs document.
    """
    for path in files:
        document = read_document(path, _DOCUMENT, "an OBO Graphs document")
        for node in (node for graph in document.graphs for node in graph.nodes):
            concept_id = parse(node.id)
            if concept_id and concept_id.startswith("orphanet:"):
                if node.lbl.startswith(_OBSOLETE):
                    name = Name(node.lbl.removeprefix(_OBSOLETE), "en", "label", source)
                    yield SourceConcept(concept_id, (name,), status=Status.RETIRED)
                elif node.lbl and (node.meta.subsets or node.meta.xrefs):
                    yield _concept(source, concept_id, node)


def _concept(source: str, concept_id: str, node: _Node) -> SourceConcept:
    xrefs = [xref.val for xref in node.meta.xrefs]
    gene = any(xref.startswith(_GENES) for xref in xrefs)
    return SourceConcept(
        concept_id,
        (
            Name(node.lbl, "en", "label", source),
            *(Name(synonym.val, "en", "alias", source) for synonym in node.meta.synonyms),
        ),
        description=node.meta.definition.val,
        types=("gene",) if gene else (SCHEMES["orphanet"],),
        # The protein and the OMIM entry of a gene are other things than the gene.
        equivalent=tuple(
            curie
            for xref in xrefs
            if (curie := parse(xref)) and (not gene or curie.startswith("hgnc:"))
        ),
    )
