"""Which of Wikidata's items belong, and in which languages their names are kept."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import langcodes
import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from bioelx.errors import BioelxError, FileError
from bioelx_index.sources.wikidata.vocabulary import (
    CLASSIFICATIONS,
    COMMON_NAME,
    EVERY_LANGUAGE,
    IDENTIFIERS,
    INSTANCE_OF,
    LANGUAGES,
    MESH_TERM,
    SUBCLASS_OF,
    language_of,
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
        everything: bool = False,
    ) -> Selection:
        """Reads a selection as people write it.

        Args:
            schemes: what else selects: a scheme (`ncbitaxon`) or a property of one's own (`P1234`).
            trees: QIDs.
            languages: of names, BCP 47 or Wikidata's codes.
            defaults: whether the properties that select by default still do.
            everything: whether all items belong.

        Raises:
            BioelxError: a value is not what it should be; it is named.
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
        if not (properties or trees or everything):
            raise BioelxError("nothing is selected: name a scheme or a tree")
        tags = [language_of(language) for language in languages]
        for tag in tags:
            if not langcodes.tag_is_valid(tag):
                raise BioelxError(f"language {tag!r}: not a BCP 47 tag, such as de or zh-Hant")
        return cls(tuple(dict.fromkeys(properties)), trees, tuple(dict.fromkeys(tags)), everything)

    @property
    def fingerprint(self) -> str:
        """Changes with the selection."""
        return hashlib.sha256(orjson.dumps(asdict(self))).hexdigest()[:16]

    def speaks(self, language: str) -> bool:
        """Whether names in this language (BCP 47) are kept; those for every language always are."""
        if not self.languages or language == EVERY_LANGUAGE:
            return True
        return any(language == each or language.startswith(f"{each}-") for each in self.languages)

    def ranges(self) -> tuple[str, ...]:
        """Language ranges, as SPARQL's LANGMATCHES takes them, that hold all of Wikidata's codes of
        languages whose names are kept, and perhaps more. Empty if all are."""
        if not self.languages:
            return ()
        spelt = (code for code, tag in LANGUAGES.items() if self.speaks(tag))
        return tuple(dict.fromkeys((*self.languages, EVERY_LANGUAGE, *sorted(spelt))))

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


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class SelectionFile:
    """The `[selection]` of a TOML file: arguments of `Selection.of`."""

    schemes: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    defaults: bool = True
    everything: bool = False


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class _Document:
    selection: SelectionFile


def read_selection(path: Path) -> SelectionFile:
    """Reads a selection from a TOML file.

    Raises:
        FileError: no such file, not TOML, or a key is unknown or has a value of another kind.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(_Document).validate_python(raw).selection
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"not TOML ({error})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(path, f"{where}: {first['msg']}") from None
