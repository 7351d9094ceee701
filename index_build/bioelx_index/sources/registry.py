"""The readers of files, by the name that a catalogue of sources calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bioelx_index.sources import (
    SourceConcept,
    babelon,
    derived,
    doid_es,
    indra,
    mesh,
    nando,
    obo,
    ordo,
    sssom,
    uberon,
    umls,
)
from bioelx_index.sources.wikidata import folder as pulled

Reader = Callable[[str, Sequence[Path]], Iterator[SourceConcept]]

READERS: dict[str, Reader] = {"pulled": pulled.read} | {
    module.__name__.rpartition(".")[2]: module.read
    for module in (babelon, derived, doid_es, indra, mesh, nando, obo, ordo, sssom, uberon, umls)
}
