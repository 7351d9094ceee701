"""The shipped slice of Wikidata, enlarged to any number of items.

    python -m bioelx_index.benchmark.enlarge --slice data/wikidata/slice.nt.xz \\
        --items 1000000 --out items.nt

First come the items of the slice as they are, then copies of them, round after round, each under a
QID of its own, with its number in every name ("spinocerebellar ataxia 3") and in the identifiers,
and as a subclass of what it is a copy of. The same arguments give the same items, whichever way
they are written. Memory holds the slice, not what is made of it.
"""

from __future__ import annotations

import argparse
import lzma
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyoxigraph import RdfFormat, parse

from bioelx.errors import BioelxError, FileError
from bioelx_index.snapshot.ntriples import iri, literal, triple
from bioelx_index.snapshot.slice import (
    ABOUT,
    ALT_LABEL,
    DESCRIPTION,
    IN_LANGUAGE,
    IS_PART_OF,
    LABEL,
    TITLE,
    WD,
    WDT,
)
from bioelx_index.sources.wikidata.vocabulary import COMMON_NAME, INSTANCE_OF, SUBCLASS_OF

MODIFIED = iri("http://schema.org/dateModified")
DATE_TIME = iri("http://www.w3.org/2001/XMLSchema#dateTime")
_CLASSES = (INSTANCE_OF, SUBCLASS_OF)
_FIRST_EDIT = datetime(2013, 2, 1, tzinfo=UTC)
_SECONDS_OF_EDITS = 12 * 365 * 86_400
# Primes: multiples of the one modulo the other repeat only after all numbers have come.
_QIDS, _QID_STEP = 139_999_991, 86_028_121
_BRACKET = re.compile(r"^(.*?)(\s*[(（][^()（）]*[)）])$")


@dataclass(frozen=True, slots=True)
class SyntheticItem:
    """An item as Wikidata has it, free of any format.

    Languages are Wikidata's codes. A claim's value is text, another item's QID (`P31`, `P279`), or
    (text, language) where names are claimed (`P1843`).
    """

    qid: str
    labels: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    sitelinks: dict[str, str] = field(default_factory=dict)
    """Title of the article by site: `dewiki`."""
    claims: dict[str, list[str | tuple[str, str]]] = field(default_factory=dict)
    modified: str = ""
    """ISO 8601, in UTC: `2024-05-01T12:00:00Z`."""


def items(slice_: Path, count: int) -> Iterator[SyntheticItem]:
    """Yields `count` items: those of the slice by ascending QID, then copies.

    Args:
        slice_: N-Triples in Wikidata's vocabulary, .nt or .nt.xz.

    Raises:
        FileError: not such a file.
    """
    originals = read_items(slice_)
    yield from originals[:count]
    taken = {int(original.qid[1:]) for original in originals}
    number = 0
    for copy in range(count - len(originals)):
        while (number := (number + _QID_STEP) % _QIDS) in taken:
            pass
        turn, place = divmod(copy, len(originals))
        yield _vary(originals[place], f"Q{number}", turn + 2)


def _vary(original: SyntheticItem, qid: str, number: int) -> SyntheticItem:
    def name(text: str) -> str:
        # Before a bracketed disambiguator, which tells apart articles, not things.
        if found := _BRACKET.match(text):
            return f"{found[1]} {number}{found[2]}"
        return f"{text} {number}"

    claims = {
        prop: [
            (name(value[0]), value[1]) if isinstance(value, tuple) else _identifier(value, number)
            for value in values
        ]
        for prop, values in original.claims.items()
        if prop not in _CLASSES
    }
    if INSTANCE_OF in original.claims:
        claims[INSTANCE_OF] = original.claims[INSTANCE_OF]
    claims[SUBCLASS_OF] = [original.qid]
    return replace(
        original,
        qid=qid,
        labels={code: name(text) for code, text in original.labels.items()},
        aliases={code: [*map(name, texts)] for code, texts in original.aliases.items()},
        sitelinks={site: name(title) for site, title in original.sitelinks.items()},
        claims=claims,
        modified=_modified(int(qid[1:])),
    )


def _identifier(value: str, number: int) -> str:
    """Another identifier of the same form: its last seven digits or fewer are counted on."""
    found = re.fullmatch(r"(.*?)(\d{6,7})", value)
    if not found:
        return value  # codes of classifications stand for many things anyway
    digits = found[2]
    counted = (int(digits) + 100_003 * number) % 10 ** len(digits)
    return f"{found[1]}{counted:0{len(digits)}}"


def _modified(number: int) -> str:
    seconds = number * 7_919 % _SECONDS_OF_EDITS
    return f"{_FIRST_EDIT + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def read_items(path: Path) -> list[SyntheticItem]:
    """The items of a slice (.nt or .nt.xz), by ascending QID.

    Raises:
        FileError: not such a file.
    """
    found: dict[str, SyntheticItem] = {}
    articles: dict[str, dict[str, str]] = {}

    def item(address: str) -> SyntheticItem:
        qid = address.removeprefix(WD)
        return found.setdefault(qid, SyntheticItem(qid, modified=_modified(int(qid[1:]))))

    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rb") as stream:
            for statement in parse(stream, format=RdfFormat.N_TRIPLES):
                subject, predicate = statement.subject.value, str(statement.predicate)
                if not subject.startswith(WD):
                    articles.setdefault(subject, {})[predicate] = statement.object.value
                else:
                    _add(item(subject), predicate, statement.object)
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except (SyntaxError, EOFError, lzma.LZMAError) as error:
        raise FileError(path, f"not whole N-Triples ({error})") from None
    for _, article in sorted(articles.items()):
        site = f"{article[IN_LANGUAGE].replace('-', '_')}wiki"
        item(article[ABOUT]).sitelinks.setdefault(site, article[TITLE])
    return sorted(found.values(), key=lambda each: int(each.qid[1:]))


def _add(item: SyntheticItem, predicate: str, value: Any) -> None:
    text, lang = value.value, getattr(value, "language", None) or ""
    if predicate == LABEL:
        item.labels[lang] = text
    elif predicate == ALT_LABEL:
        item.aliases.setdefault(lang, []).append(text)
    elif predicate == DESCRIPTION:
        item.descriptions[lang] = text
    else:
        prop = predicate.removeprefix(f"<{WDT}").removesuffix(">")
        claimed = (text, lang) if prop == COMMON_NAME else text.removeprefix(WD)
        item.claims.setdefault(prop, []).append(claimed)


def as_ntriples(item: SyntheticItem) -> Iterator[str]:
    """The item's statements as Wikidata's RDF has them, as lines without line ends."""
    subject = iri(WD + item.qid)
    for lang, text in item.labels.items():
        yield triple(subject, LABEL, literal(text, lang))
    for lang, texts in item.aliases.items():
        for text in texts:
            yield triple(subject, ALT_LABEL, literal(text, lang))
    for lang, text in item.descriptions.items():
        yield triple(subject, DESCRIPTION, literal(text, lang))
    for prop, values in item.claims.items():
        for value in values:
            yield triple(subject, iri(WDT + prop), _value(prop, value))
    for site, title in item.sitelinks.items():
        lang = site.removesuffix("wiki").replace("_", "-")
        address = f"https://{lang}.wikipedia.org/"
        article = iri(f"{address}wiki/{quote(title.replace(' ', '_'))}")
        yield triple(article, ABOUT, subject)
        yield triple(article, IN_LANGUAGE, literal(lang))
        yield triple(article, IS_PART_OF, iri(address))
        yield triple(article, TITLE, literal(title, lang))
    yield triple(subject, MODIFIED, f"{literal(item.modified)}^^{DATE_TIME}")


def _value(prop: str, value: str | tuple[str, str]) -> str:
    if isinstance(value, tuple):
        return literal(*value)
    return iri(WD + value) if prop in _CLASSES else literal(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_index.benchmark.enlarge",
        description="Enlarges a slice of Wikidata to any number of items, as N-Triples.",
    )
    parser.add_argument("--slice", type=Path, required=True, help=".nt or .nt.xz")
    parser.add_argument("--items", type=int, required=True, help="how many, all in all")
    parser.add_argument("--out", type=Path, required=True, help="the .nt file to write")
    options = parser.parse_args()
    try:
        with options.out.open("w", encoding="utf-8", newline="\n") as out:
            for item in items(options.slice, options.items):
                out.writelines(f"{line}\n" for line in as_ntriples(item))
    except BioelxError as error:
        sys.exit(f"enlarge: {error}")


if __name__ == "__main__":
    main()
