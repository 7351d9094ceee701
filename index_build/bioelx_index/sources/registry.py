"""The readers of files, by the name that a catalogue of sources calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

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

VERBATIM = {"dictionary"}
"""Readers whose names a published protocol fixes: no rule of hygiene may drop one."""

Reader = Callable[[str, Sequence[Path]], Iterator[SourceConcept]]

READERS: dict[str, Reader] = {
    module.__name__.rpartition(".")[2]: module.read
    for module in (
        *(babelon, derived, dictionary, doid_es, indra, mesh),
        *(nando, obo, ordo, sssom, uberon, umls),
    )
}
