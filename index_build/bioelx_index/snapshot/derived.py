"""Names that come with no identifier, given to concepts by matching an English string.

Two sources: titles that Wikipedias gave one subject, and the TICO-19 terminologies. What is
matched is kept apart from what the sources state: own files, own source names. Using titles of
other languages as names follows Liu et al. (2021), https://aclanthology.org/2021.acl-short.72
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bioelx_index.snapshot.raw_wikidata import blaming, rows
from bioelx_index.snapshot.slice import clean
from bioelx_index.snapshot.things import Things, is_abbreviation
from bioelx_index.sources import SourceConcept


class DerivedName(NamedTuple):
    """One line of a derived file; ``matched`` is the English string that led to the concept."""

    concept_id: str
    lang: str
    text: str
    kind: str
    matched: str


# What Wikipedias write in brackets behind the title of a page that lists several subjects.
_DISAMBIGUATION = {
    "disambiguation", "begriffsklärung", "desambiguación", "homonymie", "曖昧さ回避",
    "olika betydelser", "消歧義", "消歧义", "แก้ความกำกวม", "rozcestník", "동음이의",
    "doorverwijspagina", "täsmennyssivu", "anlam ayrımı", "disambiguasi", "значения", "توضيح",
    "egyértelműsítő lap", "định hướng", "ابهام‌زدایی", "פירושונים", "discretiva",
    "nyahkekaburan", "बहुविकल्पी",
}  # fmt: skip
# And what they write there where a subject with the name of a thing is something else.
_ELSEWHERE = {
    "sternbild", "constellation", "sterrenbeeld", "mythologie", "stad", "ciudad", "alchemie",
    "geometría", "schiffbau", "vêtement",
}  # fmt: skip
# A bracket without a space before it belongs to the name: "Оксид серы(VI)".
_BRACKET = re.compile(r"\s+\(([^()]*)\)$|（([^（）]*)）$")
# A region says where TICO-19's translators were; only the script of Chinese tells languages apart.
_TICO_CODES = {"iw": "he", "cb": "ckb", "cx": "ceb", "ns": "nso", "tl": "fil"}
_TICO_CODES |= dict.fromkeys(("zh-TW", "zh-Hant"), "zh-Hant")


def matchable(items: Iterable[SourceConcept]) -> Iterator[SourceConcept]:
    """Wikidata's items as things to match by: those that another scheme identifies, with their
    labels only. The slice holds part of Wikidata, so that an item without an identifier may be a
    namesake of the one that is meant, and aliases may be pieces of longer ones."""
    for item in items:
        if item.equivalent:
            yield replace(item, names=tuple(name for name in item.names if name.kind == "label"))


def title_names(titles: Path, things: Things) -> Iterator[DerivedName]:
    """Titles in other languages of the subjects whose English title names one thing.

    ``titles`` is a Parquet file of item (a running number), lang, title.
    """
    table = pq.read_table(titles, columns=["item", "lang", "title"])
    english = table.filter(pc.equal(table["lang"], "en"))
    disputed = {_base(title).casefold() for title in _strings(english) if _BRACKET.search(title)}
    subjects = {
        item: (title, concept_ids)
        for item, title in zip(english["item"].to_pylist(), _strings(english), strict=True)
        if not _BRACKET.search(title)
        and not is_abbreviation(title)
        and (concept_ids := _wanted(things, title))
    }
    theirs = table.filter(pc.is_in(table["item"], pa.array(subjects, table["item"].type)))
    pages: dict[int, dict[str, str]] = {item: {} for item in subjects}
    for row in theirs.to_pylist():
        pages[row["item"]][row["lang"]] = row["title"]
    for item, (title, concept_ids) in subjects.items():
        page = pages[item]
        if any(_bracket(other) in _DISAMBIGUATION | _ELSEWHERE for other in page.values()):
            continue
        doubtful = title.casefold() in disputed or (len(title) < 5 and not things.is_label(title))
        if doubtful and not _sure(things, title, concept_ids, page):
            continue
        concept_id = things.first(concept_ids)
        for lang, other in page.items():
            if lang != "en" and _is_name(name := _base(other)):
                yield DerivedName(concept_id, lang, name, "title", title)


def tico_names(folder: Path, things: Things) -> Iterator[DerivedName]:
    """Translations of the TICO-19 terms whose English side names one thing.

    ``folder`` holds the terminologies as CSV, English being their source or target language.
    """
    for path in sorted(folder.glob("*.csv")):
        with blaming(path):
            for row in rows(path):
                english, lang, text = _tico_term(row)
                if not lang or is_abbreviation(english) or not _is_name(text):
                    continue
                if text == english or re.search(r"[(（\[]", text):
                    continue
                if concept_ids := _wanted(things, english):
                    yield DerivedName(things.first(concept_ids), lang, text, "alias", english)


def to_tsv(names: Iterable[DerivedName]) -> bytes:
    """The names as UTF-8 TSV with a header, sorted, each once."""
    out = StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
    writer.writerow(DerivedName._fields)
    writer.writerows(sorted(set(names)))
    return out.getvalue().encode()


def _wanted(things: Things, english: str) -> set[str]:
    """The concepts that ``english`` names, if they are one thing of a biomedical type.

    MeSH's places, professions and ideas ("other") need no names in more languages.
    """
    found = things.named(english)
    return found if things.types(found) - {"other"} else set()


def _sure(things: Things, title: str, concept_ids: set[str], page: dict[str, str]) -> bool:
    """Whether a title that has homonyms, or is short and an alias, still means the thing: one of
    its other titles is a known name of the thing, or two ontologies call the thing by it."""
    if any(things.confirms(concept_ids, lang, _base(other)) for lang, other in page.items()):
        return True
    schemes = {concept_id.partition(":")[0] for concept_id in concept_ids} - {"wikidata"}
    return things.is_label(title) and len(schemes) > 1


def _strings(table: pa.Table) -> list[str]:
    titles: list[str] = table["title"].to_pylist()
    return titles


def _base(title: str) -> str:
    return _BRACKET.sub("", clean(title))


def _bracket(title: str) -> str:
    found = _BRACKET.search(title)
    return (found[1] or found[2] or "").casefold() if found else ""


def _is_name(text: str) -> bool:
    """Not a page outside the encyclopaedia ("Anexo:...") or a list of alternatives."""
    return bool(text) and not re.search(r"[:;/|\"]", text)


def _tico_term(row: dict[str, str]) -> tuple[str, str, str]:
    """The English side, and the other side's language and text."""
    source, target = (
        (_tico_language(row[f"{side}Lang"]), clean(row[f"{side}String"] or ""))
        for side in ("source", "target")
    )
    return (source[1], *target) if source[0] == "en" else (target[1], *source)


def _tico_language(code: str) -> str:
    """BCP 47 for TICO-19's codes: ``de_DE``, ``es-419``, ``iw``."""
    code = code.replace("_", "-")
    return _TICO_CODES.get(code) or _TICO_CODES.get(code.split("-")[0]) or code.split("-")[0]
