"""The readers of files, by the name that a catalogue of sources calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bioelx_index.sources import (
    SourceConcept,
    babelon,
    derived,
    dictionary,
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
from bioelx_index.sources.options import Options
from bioelx_index.sources.wikidata import folder as pulled

VERBATIM = {"dictionary"}
"""Readers whose names a published protocol fixes: no rule of hygiene may drop one."""

Reader = Callable[..., Iterator[SourceConcept]]
"""Takes a source's name, its files and, if `OPTIONS` knows it, its options."""

READERS: dict[str, Reader] = {"pulled": pulled.read} | {
    module.__name__.rpartition(".")[2]: module.read
    for module in (
        *(babelon, derived, dictionary, doid_es, indra, mesh),
        *(nando, obo, ordo, sssom, uberon, umls),
    )
}

OPTIONS: dict[str, type[Options]] = {
    "babelon": babelon.BabelonOptions,
    "obo": obo.OboOptions,
    "umls": umls.UmlsOptions,
}
"""What readers can be told; those that are not here take nothing."""
