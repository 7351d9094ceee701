"""Which of Wikidata's items belong, and in which languages their names are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import orjson

from bioelx.errors import BioelxError
from bioelx_index.sources.wikidata.vocabulary import (
    CLASSIFICATIONS,
    COMMON_NAME,
    IDENTIFIERS,
    INSTANCE_OF,
    MESH_TERM,
    SUBCLASS_OF,
)

OPTIONAL = ("cas", "ncbigene", "ncbitaxon", "uniprot")
"""Schemes that select nothing unless they are asked for: they bring millions of compounds, genes,
taxa and proteins that no clinical note speaks of."""

_BY_SCHEME = {scheme: name for name, scheme in {**IDENTIFIERS, **CLASSIFICATIONS}.items()}
_DEFAULT = (
    *(name for scheme, name in _BY_SCHEME.items() if scheme not in OPTIONAL),
    MESH_TERM,
)
_PROPERTY, _ITEM = re.compile(r"P[1-9]\d*"), re.compile(r"Q[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Selection:
    """Items that have a value of one of `properties`, or are an instance or a subclass of one of
    `trees`, at any depth.

    With `everything` all items belong: for a slice that holds nothing but what is wanted.
    """

    properties: tuple[str, ...] = _DEFAULT
    trees: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """BCP 47; `zh` takes `zh-Hant` too. Empty takes all."""
    everything: bool = False

    @classmethod
    def of(
        cls,
        *,
        schemes: Iterable[str] = (),
        trees: Iterable[str] = (),
        languages: Iterable[str] = (),
        defaults: bool = True,
    ) -> Selection:
        """Reads a selection as people write it.

        Args:
            schemes: what else selects: a scheme (`ncbitaxon`) or a property of one's own (`P1234`).
            trees: QIDs.
            defaults: whether the properties that select by default still do.

        Raises:
            BioelxError: a value is neither; it is named.
        """
        properties = [*_DEFAULT] if defaults else []
        for scheme in schemes:
            if scheme not in _BY_SCHEME and not _PROPERTY.fullmatch(scheme):
                known = ", ".join(sorted(_BY_SCHEME))
                raise BioelxError(
                    f"scheme {scheme!r}: neither a property (P1234) nor one of {known}"
                )
            properties.append(_BY_SCHEME.get(scheme, scheme))
        trees = tuple(dict.fromkeys(trees))
        for tree in trees:
            if not _ITEM.fullmatch(tree):
                raise BioelxError(f"tree {tree!r}: not the id of an item (Q12136)")
        if not properties and not trees:
            raise BioelxError("nothing is selected: name a scheme or a tree")
        return cls(tuple(dict.fromkeys(properties)), trees, tuple(dict.fromkeys(languages)))

    @property
    def fingerprint(self) -> str:
        """Changes with the selection."""
        return hashlib.sha256(orjson.dumps(asdict(self))).hexdigest()[:16]

    def speaks(self, language: str) -> bool:
        """Whether names in this language (BCP 47) are kept."""
        if not self.languages:
            return True
        return any(language == each or language.startswith(f"{each}-") for each in self.languages)

    def groups(self) -> dict[str, str]:
        """The ways to belong as SPARQL groups over ``?item``, each under a name for reports."""
        if self.everything:
            properties = (*IDENTIFIERS, *CLASSIFICATIONS, INSTANCE_OF, SUBCLASS_OF, COMMON_NAME)
            return {
                "label": "?item rdfs:label ?any",
                "alias": "?item skos:altLabel ?any",
                "article": "?any schema:about ?item",
                **{name: f"?item wdt:{name} ?any" for name in properties},
            }
        return {
            **{name: f"?item wdt:{name} ?any" for name in self.properties},
            **{
                tree: f"?item wdt:{INSTANCE_OF}?/wdt:{SUBCLASS_OF}* wd:{tree}"
                for tree in self.trees
            },
        }
