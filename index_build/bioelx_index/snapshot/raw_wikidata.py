"""Readers of the published files that hold Wikidata content, newest first.

Each takes the folder of raw sources and feeds a `Slice` with what its files say, no more. Left out
on purpose: EcoCor's combined list ``animal_plant-en.json`` (84 of its names come from a language
learning site), SeekMed's ``discovered_*`` (Wikimedia categories, not things).
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from xml.etree import ElementTree

from bioelx.errors import FileError
from bioelx_index.snapshot.slice import Slice

_SEEKMED_COLUMNS = {
    "mesh_id": "P486",
    "icd9": "P493",
    "icd10": "P494",
    "snomed_id": "P5806",
    "umls_id": "P2892",
}
# "Medical procedure", which SeekMed asked for by the QID of "aircraft pilot".
_SEEKMED_SLIP = "医療処置"
_TAXON, _COMMON_NAME_GROUP = "Q16521", "Q55983715"

_RESULT = "{http://www.w3.org/2005/sparql-results#}"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ENTITY = re.compile(r"http://www\.wikidata\.org/entity/(Q[1-9]\d*)")
# How a piece of a name that held a comma begins or reads once the name is cut at its commas.
_TAIL = re.compile(
    r"(and|or|with|without|of|due to|y|o|con|sin) .*"
    r"|((autosomal )?(dominant|recessive)|x-linked( dominant| recessive)?|familial|hereditary"
    r"|congenital|acquired|isolated|localized|unspecified|nos|not otherwise specified|other"
    r"|malignant|benign|acute|chronic|neonatal|infantile|juvenile|adult|postpartum"
    r"|dried|anhydrous|dibasic|cis|trans)?"
    r"( ?(type|tipo|group|stage|grade|form))?( ?[\divxlc]+[a-z]?)?(;.*)?"
    r"|tipo .*|\S+ type(;.*)?",
    re.IGNORECASE,
)


def read_all(raw: Path) -> Slice:
    """Everything the raw files say of Wikidata's items."""
    found = Slice()
    for reader in (_seekmed, _ecocor, _openvirus_results, _openvirus_dictionary, _identifiers):
        reader(raw, found)
    return found


def _seekmed(raw: Path, found: Slice) -> None:
    """CSV exports of labels, descriptions and identifiers for the members of medical classes.

    Its query was ``?item wdt:P31/wdt:P279* wd:<category_qid>``, so a category is a class that the
    item belongs to directly or through subclasses.
    """
    files = (raw / "wikidata_seekmed").glob("*.csv")
    for path in sorted(files, key=lambda path: (_stamp(path), path.name), reverse=True):
        if path.name.startswith("discovered_"):
            continue
        with blaming(path):
            for row in rows(path):
                _seekmed_row(row, found)


def _seekmed_row(row: dict[str, str], found: Slice) -> None:
    qid, category = row["qid"], row.get("category_qid", "")
    if _SEEKMED_SLIP in (row.get("category_ja"), row.get("category")):
        return
    for lang in ("en", "ja"):
        found.label(qid, lang, row[f"{lang}_label"])
        found.description(qid, lang, row[f"{lang}_description"])
    for column, prop in _SEEKMED_COLUMNS.items():
        found.identifier(qid, prop, row.get(column, ""))
    if category:
        found.member(qid, category)


def _ecocor(raw: Path, found: Slice) -> None:
    """Common names of taxa (P1843, German) and the labels of groups known by a common name."""
    path = raw / "wikidata_ecocor/german_vernacular_names_with_category.json"
    with blaming(path):
        for entry in json.loads(path.read_text(encoding="utf-8")):
            found.common_name(entry["wikidata_id"], "de", entry["word"])
            found.instance(entry["wikidata_id"], _TAXON)
    for lang, name, keys in (
        ("en", "english_organisms_known_by_common_name.json", ("wikidata_id", "word")),
        ("de", "organisms_known_by_common_name.json", ("wikidata_ids", "name")),
    ):
        path = raw / "wikidata_ecocor" / name
        with blaming(path):
            entries = json.loads(path.read_text(encoding="utf-8"))
            for entry in entries["entity_list"] if isinstance(entries, dict) else entries:
                qid, text = (entry[key] for key in keys)
                found.label(qid, lang, text)
                found.instance(qid, _COMMON_NAME_GROUP)


def _openvirus_results(raw: Path, found: Slice) -> None:
    """SPARQL results (XML): one column a language for label, aliases, description and sitelink."""
    for name in (
        "sparql_drug9.xml",
        "drug.MultiL_1.sparql.xml",
        "sparql_drug_es.xml",
        "sparql_enfermedad",
    ):
        path = raw / "wikidata_openvirus" / name
        with blaming(path):
            for result in _xml(path).iter(f"{_RESULT}result"):
                bindings = {binding.get("name", ""): binding[0] for binding in result}
                qid = _qid(bindings.pop("wikidata").text or "")
                for column, term in bindings.items():
                    _binding(found, qid, column.lower(), term.get(_XML_LANG, ""), term.text or "")


def _binding(found: Slice, qid: str, column: str, lang: str, text: str) -> None:
    """One cell. A label without a language is the QID that stands in for a missing one."""
    if column.endswith("wikipedia"):
        found.sitelink(qid, text)
    elif column == "icd_10":
        found.identifier(qid, "P494", text)
    elif not lang:
        return
    elif column.endswith("altlabel"):
        for alias in whole_names(text.split(", "), found.labels.get((qid, lang), "")):
            found.alias(qid, lang, alias)
    elif column.endswith("label"):
        found.label(qid, lang, text)
    else:
        found.description(qid, lang, text)


def _openvirus_dictionary(raw: Path, found: Slice) -> None:
    """A dictionary of diseases whose synonyms were cut at every comma."""
    path = raw / "wikidata_openvirus/disease_synonym.xml"
    entries = []
    with blaming(path):
        for entry in _xml(path).iter("entry"):
            qid = entry.attrib["wikidata"]
            entries.append((qid, [synonym.text or "" for synonym in entry]))
            found.label(qid, "en", entry.attrib["name"])
    claims = Counter(
        text for _, synonyms in entries for text in {synonym.casefold() for synonym in synonyms}
    )
    claims.update({text.casefold() for (_, lang), text in found.labels.items() if lang == "en"})
    for qid, synonyms in entries:
        label = found.labels.get((qid, "en"), "")
        for alias in whole_names(synonyms, label):
            if claims[alias.casefold()] == 1 + (alias.casefold() == label.casefold()):
                found.alias(qid, "en", alias)


def _identifiers(raw: Path, found: Slice) -> None:
    """MeSH and Disease Ontology identifiers, one a row."""
    for name, prop in (("MeSH_ID", "P486"), ("DOID", "P699")):
        path = raw / "wikidata_ids" / f"wikidata_{name}.csv"
        with blaming(path):
            for row in rows(path):
                found.identifier(_qid(row["entity"]), prop, row[name])


def whole_names(pieces: Iterable[str], label: str) -> list[str]:
    """The pieces of an item's aliases, cut at ", ", that are whole names as far as can be told.

    Wikidata's label service joins aliases by ", ", and an alias may itself hold one. Given up are:
    a piece that occurs twice (an item's aliases are distinct, so it was cut off something), a
    piece that reads as the tail of a name ("type 1", "NOS") together with the piece before it,
    pieces in a row that have the words of the label or of another alias ("sickness, African
    horse"), a piece with an unpaired bracket, and a piece of one or two characters.
    """
    cut = [piece.strip() for piece in pieces]
    times = Counter(cut)
    inverted = _inverted(cut, {_words(name) for name in (label, *cut)})
    return [
        piece
        for place, (piece, following) in enumerate(zip_longest(cut, cut[1:], fillvalue=""))
        if times[piece] == 1
        and len(piece) > 2
        and not _TAIL.fullmatch(piece)
        and not (following and _TAIL.fullmatch(following))
        and place not in inverted
        and all(piece.count(left) == piece.count(right) for left, right in ("()", "[]", "{}"))
    ]


def _inverted(cut: list[str], names: set[tuple[str, ...]]) -> set[int]:
    """The places of up to four pieces in a row that together have the words of one name."""
    return {
        place
        for length in (2, 3, 4)
        for start in range(len(cut) - length + 1)
        if _words(" ".join(cut[start : start + length])) in names
        for place in range(start, start + length)
    }


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(name.casefold().split()))


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Whatever is wrong with the contents of ``path`` becomes a FileError that names it."""
    try:
        yield
    except (KeyError, ValueError, csv.Error, ElementTree.ParseError) as error:
        raise FileError(path, f"not as expected: {type(error).__name__}: {error}") from error


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header, in UTF-8 with or without a byte order mark."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        yield from csv.DictReader(stream)


def _xml(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()  # noqa: S314 (expat as Python ships it bounds expansion)


def _stamp(path: Path) -> str:
    found = re.search(r"\d{8}_\d{6}", path.name)
    return found[0] if found else ""


def _qid(entity: str) -> str:
    found = _ENTITY.fullmatch(entity)
    if not found:
        raise ValueError(f"not a Wikidata item: {entity!r}")
    return found[1]
