"""OBO 1.2/1.4 files (the Human Phenotype Ontology as its authors ship it).

https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import HPO_BRANCHES, SCHEMES
from bioelx_index.sources import SourceConcept, branch_types, open_text
from bioelx_index.sources.curie import parse, scheme_of

_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+([A-Z]+)(\s+[^\[]*)?\[')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_EXACT_ENOUGH = {"EXACT", "RELATED"}

Term = dict[str, list[str]]


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads terms: names, exact and related synonyms, definitions, cross-references; obsolete
    terms and alternative ids are retired, with their replacement where the file names one.

    Raises:
        FileError: a line that is no OBO, a term without an id or a name, a bad synonym.
    """
    for path in files:
        terms = dict(_terms(path))
        parents = {
            term_id: [p for value in term.get("is_a", ()) if (p := parse(value.split("!")[0]))]
            for term_id, term in terms.items()
        }
        types = branch_types(parents, HPO_BRANCHES)
        for term_id, term in terms.items():
            yield _concept(source, term_id, term, types)
            if "true" not in term.get("is_obsolete", ()):
                for other in filter(None, map(parse, term.get("alt_id", ()))):
                    yield SourceConcept(other, status=Status.RETIRED, replaced_by=term_id)


def _concept(
    source: str, term_id: str, term: Term, types: Mapping[str, tuple[str, ...]]
) -> SourceConcept:
    name = Name(_plain(term["name"][0]), "en", "label", source)
    if "true" in term.get("is_obsolete", ()):
        replacement = next(filter(None, map(parse, term.get("replaced_by", ()))), None)
        return SourceConcept(
            term_id,
            (name._replace(text=name.text.removeprefix("obsolete ")),),
            status=Status.RETIRED,
            replaced_by=replacement,
        )
    definition = _QUOTED.match(term["def"][0]) if "def" in term else None
    return SourceConcept(
        term_id,
        (name, *(Name(text, "en", "alias", source) for text in term.get("synonym", ()))),
        description=_plain(definition[1]) if definition else "",
        types=types.get(term_id, ()) or tuple(filter(None, [SCHEMES.get(scheme_of(term_id))])),
        equivalent=tuple(filter(None, (parse(x.split(" ")[0]) for x in term.get("xref", ())))),
    )


def _terms(path: Path) -> Iterator[tuple[str, Term]]:
    """Yields each [Term] stanza as tag -> values. Synonyms come unpacked, the loose left out."""
    term: Term | None = None
    start = 0
    with open_text(path) as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.strip()
            if line.startswith("["):
                if term is not None:
                    yield _checked(path, start, term)
                term, start = ({} if line == "[Term]" else None), number
            elif line and not line.startswith("!"):
                tag, colon, value = line.partition(":")
                if not colon:
                    raise FileError(path, "neither a stanza nor 'tag: value'", line=number)
                if term is None:
                    continue
                value = value.strip()
                if tag == "synonym":
                    match = _SYNONYM.match(value)
                    if match is None:
                        raise FileError(path, "a synonym without quotes and scope", line=number)
                    if match[2] not in _EXACT_ENOUGH or "HP:" in (match[3] or ""):
                        continue  # broader, narrower, or a code such as "monoallelic_autosomal"
                    value = _plain(match[1])
                term.setdefault(tag, []).append(value)
    if term is not None:
        yield _checked(path, start, term)


def _checked(path: Path, line: int, term: Term) -> tuple[str, Term]:
    for tag in ("id", "name"):
        if not term.get(tag):
            raise FileError(path, f"a term without {tag!r}", line=line)
    term_id = parse(term["id"][0])
    if term_id is None:
        raise FileError(path, f"{term['id'][0]!r} is not an id of a known scheme", line=line)
    return term_id, term


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: {"n": " ", "t": " ", "W": " "}.get(match[1], match[1]), text)
