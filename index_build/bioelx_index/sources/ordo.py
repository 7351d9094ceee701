"""The Orphanet Rare Disease Ontology as an OBO Graphs document.

https://github.com/geneontology/obographs
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import SCHEMES
from bioelx_index.sources import SourceConcept, read_json
from bioelx_index.sources.curie import parse

_OBSOLETE = "OBSOLETE: "
# Classes that are genes have cross-references to these; disorders have none.
_GENES = ("HGNC:", "Ensembl:", "SwissProt:", "Genatlas:")


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads disorders, their groups and subtypes, and the genes that the ontology links them to;
    what it classifies them by (countries, ages of onset, modes of inheritance) has neither subset
    nor cross-reference and is passed over.

    Raises:
        FileError: not an OBO Graphs document.
    """
    for path in files:
        try:
            nodes = [node for graph in read_json(path)["graphs"] for node in graph["nodes"]]
        except (KeyError, TypeError):
            raise FileError(path, "no graphs with nodes: not an OBO Graphs document") from None
        for node in nodes:
            concept_id, label = parse(node.get("id", "")), node.get("lbl", "")
            meta = node.get("meta", {})
            if concept_id and concept_id.startswith("orphanet:"):
                if label.startswith(_OBSOLETE):
                    name = Name(label.removeprefix(_OBSOLETE), "en", "label", source)
                    yield SourceConcept(concept_id, (name,), status=Status.RETIRED)
                elif label and (meta.get("subsets") or meta.get("xrefs")):
                    yield _concept(source, concept_id, label, meta)


def _concept(source: str, concept_id: str, label: str, meta: dict[str, Any]) -> SourceConcept:
    xrefs = [xref["val"] for xref in meta.get("xrefs", ())]
    gene = any(xref.startswith(_GENES) for xref in xrefs)
    return SourceConcept(
        concept_id,
        (
            Name(label, "en", "label", source),
            *(Name(s["val"], "en", "alias", source) for s in meta.get("synonyms", ())),
        ),
        description=meta.get("definition", {}).get("val", ""),
        types=("gene",) if gene else (SCHEMES["orphanet"],),
        # The protein and the OMIM entry of a gene are other things than the gene.
        equivalent=tuple(
            curie
            for xref in xrefs
            if (curie := parse(xref)) and (not gene or curie.startswith("hgnc:"))
        ),
    )
