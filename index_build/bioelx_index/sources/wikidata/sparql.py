"""Wikidata, or any mirror or slice of it, over SPARQL 1.1.

First the ids of the items that belong are listed, by ranges of ids (the leading digits) that are
narrowed until an answer holds a range whole: no OFFSET, which skips and repeats while data change,
and no ORDER BY, which costs more than all else. Then everything about them is asked for, page by
page, by naming the items. One request at a time.

The vocabulary is that of Wikidata's RDF:
https://www.mediawiki.org/wiki/Wikibase/Indexing/RDF_Dump_Format
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError

from SPARQLWrapper import JSON, POST, SPARQLWrapper
from SPARQLWrapper.SPARQLExceptions import EndPointInternalError, SPARQLWrapperException

from bioelx.errors import SourceError
from bioelx.types import Name
from bioelx_index.kinds import WIKIDATA_CLASSES, ordered
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import curie

IDENTIFIERS: dict[str, str] = {
    "P2892": "umls",
    "P486": "mesh",
    "P699": "doid",
    "P3841": "hp",
    "P5270": "mondo",
    "P1550": "orphanet",
    "P492": "omim",
    "P1554": "uberon",
    "P1402": "fma",
    "P683": "chebi",
    "P715": "drugbank",
    "P231": "cas",
    "P685": "ncbitaxon",
    "P351": "ncbigene",
    "P5806": "snomedct",
}
"""Identifier properties that say what an item is, and their schemes."""

CLASSIFICATIONS: dict[str, str] = {
    "P494": "icd10",
    "P4229": "icd10cm",
    "P493": "icd9",
    "P267": "atc",
}
"""Properties whose codes stand for groups of things: related, never equivalent."""

_CLASS = "P31"
_COMMON_NAME = "P1843"  # of a taxon
_PREFIXES = """\
PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX wdt: <http://www.wikidata.org/prop/direct/>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX skos: <http://www.w3.org/2004/02/skos/core#>
PREFIX schema: <http://schema.org/>
"""
_WD = "http://www.wikidata.org/entity/"
_NAME_KINDS = {
    "http://www.w3.org/2000/01/rdf-schema#label": "label",
    "http://www.w3.org/2004/02/skos/core#altLabel": "alias",
    f"http://www.wikidata.org/prop/direct/{_COMMON_NAME}": "alias",
    "http://schema.org/name": "title",
}
_DESCRIPTION = "http://schema.org/description"
_MODIFIED = "http://schema.org/dateModified"

EVERY_ITEM = " UNION ".join(
    [
        "{ ?item rdfs:label ?any }",
        "{ ?item skos:altLabel ?any }",
        *(
            f"{{ ?item wdt:{name} ?any }}"
            for name in (*IDENTIFIERS, *CLASSIFICATIONS, _CLASS, _COMMON_NAME)
        ),
        "{ ?any schema:about ?item }",
    ]
)
"""Selects all items of a slice that holds nothing but what is wanted."""

IDENTIFIED = " UNION ".join(
    f"{{ ?item wdt:{name} ?any }}"
    for name, scheme in {**IDENTIFIERS, **CLASSIFICATIONS}.items()
    if scheme not in ("ncbitaxon", "ncbigene", "cas")  # millions, few of them in clinical notes
)
"""Selects the items of all Wikidata that a biomedical scheme identifies."""

_DISAMBIGUATOR = re.compile(r"\s*[(（][^()（）]*[)）]$")
# Wikidata's own language codes, as BCP 47 writes them.
_LANGUAGES = {
    "simple": "en",
    "als": "gsw",
    "bat-smg": "sgs",
    "fiu-vro": "vro",
    "roa-rup": "rup",
    "zh-classical": "lzh",
    "zh-min-nan": "nan",
    "zh-yue": "yue",
    "zh-hans": "zh-Hans",
    "zh-hant": "zh-Hant",
}
_ATTEMPTS = 5
_LISTED_AT_ONCE = 200_000
_PAUSE_SECONDS = 1.0
_TIMEOUT_SECONDS = 120
_TEMPORARY = {408, 425, 429}

Rows = list[dict[str, dict[str, str]]]


def pull(
    endpoint: str,
    *,
    user_agent: str,
    selection: str = EVERY_ITEM,
    page_size: int = 2000,
    on_page: Callable[[int, int], None] | None = None,
) -> Iterator[SourceConcept]:
    """Yields the items that `selection` (a SPARQL group over ``?item``) finds, by ascending id.

    Args:
        endpoint: the URL of a SPARQL 1.1 endpoint.
        user_agent: name, version and contact, as Wikimedia's rules ask for.
        page_size: items a request.
        on_page: called after each page with (items so far, items in all).

    Raises:
        SourceError: the endpoint is down, refuses the query, keeps failing, answers what is no
            SPARQL JSON, or lists another number of items than it counts.
    """
    ask = _Endpoint(endpoint, user_agent)
    items = sorted(_list(ask, selection), key=lambda item: int(item[1:]))
    rows = ask(f"SELECT (COUNT(DISTINCT ?item) AS ?n) WHERE {{ {_within(selection, 'Q')} }}")
    counted = int(rows[0]["n"]["value"])
    if counted != len(items):
        raise SourceError(f"{endpoint}: lists {len(items)} items but counts {counted}")
    for start in range(0, len(items), page_size):
        page = items[start : start + page_size]
        rows = ask(_details(page))
        yield from _concepts(page, rows)
        if on_page:
            on_page(start + len(page), len(items))


def _within(selection: str, prefix: str) -> str:
    return f'{selection} FILTER(STRSTARTS(STR(?item), "{_WD}{prefix}"))'


def _list(ask: _Endpoint, selection: str, prefix: str = "Q") -> list[str]:
    """The ids that begin with `prefix`; where they are too many for one answer, by next digit."""
    query = f"SELECT DISTINCT ?item WHERE {{ {_within(selection, prefix)} }}"
    rows = ask(f"{query} LIMIT {_LISTED_AT_ONCE + 1}")
    if len(rows) > _LISTED_AT_ONCE:
        rows = ask(f"SELECT DISTINCT ?item WHERE {{ {selection} FILTER(?item = wd:{prefix}) }}")
        longer = [_list(ask, selection, f"{prefix}{digit}") for digit in range(10)]
        return [*_ids(rows), *(item for items in longer for item in items)]
    return _ids(rows)


def _ids(rows: Rows) -> list[str]:
    return [row["item"]["value"].removeprefix(_WD) for row in rows]


def _details(page: Sequence[str]) -> str:
    properties = ", ".join(
        f"wdt:{name}" for name in (_CLASS, _COMMON_NAME, *IDENTIFIERS, *CLASSIFICATIONS)
    )
    return f"""
        SELECT ?item ?p ?o WHERE {{
            VALUES ?item {{ {" ".join(f"wd:{item}" for item in page)} }}
            {{
                ?item ?p ?o .
                FILTER(?p IN (rdfs:label, skos:altLabel, schema:dateModified, {properties})
                       || ?p = schema:description && LANG(?o) = "en")
            }} UNION {{
                ?article schema:about ?item ; schema:name ?o .
                BIND(schema:name AS ?p)
            }}
        }}"""


def _concepts(page: Sequence[str], rows: Rows) -> Iterator[SourceConcept]:
    statements: dict[str, list[tuple[str, dict[str, str]]]] = defaultdict(list)
    for row in rows:
        item = row["item"]["value"].removeprefix(_WD)
        statements[item].append((row["p"]["value"], row["o"]))
    for item in page:
        yield _concept(item, statements[item])


def _concept(item: str, statements: list[tuple[str, dict[str, str]]]) -> SourceConcept:
    names, equivalent, related, types = [], set(), set(), set()
    description, modified = "", None
    for predicate, term in statements:
        value = term["value"]
        prop = predicate.rpartition("/")[2]
        if kind := _NAME_KINDS.get(predicate):
            lang = term.get("xml:lang", "")
            text = _DISAMBIGUATOR.sub("", value) if kind == "title" else value
            names.append(Name(text, _LANGUAGES.get(lang, lang), kind, "wikidata"))
        elif predicate == _DESCRIPTION:
            description = value
        elif predicate == _MODIFIED:
            modified = datetime.fromisoformat(value)
        elif prop == _CLASS:
            types.add(WIKIDATA_CLASSES.get(value.removeprefix(_WD), "other"))
        elif (scheme := IDENTIFIERS.get(prop)) and (xref := curie(scheme, value)):
            equivalent.add(xref)
        elif (scheme := CLASSIFICATIONS.get(prop)) and (xref := curie(scheme, value)):
            related.add(xref)
    return SourceConcept(
        f"wikidata:{item}",
        tuple(sorted(names)),
        description=description,
        types=ordered(types),
        equivalent=tuple(sorted(equivalent)),
        related=tuple(sorted(related)),
        modified=modified,
    )


class _Endpoint:
    """Asks one question at a time, patiently: what looks temporary is tried again with a growing
    pause, or the pause that the endpoint asks for."""

    def __init__(self, url: str, user_agent: str) -> None:
        self.url = url
        self.wrapper = SPARQLWrapper(url, agent=user_agent)
        self.wrapper.setMethod(POST)
        self.wrapper.setReturnFormat(JSON)
        self.wrapper.setTimeout(_TIMEOUT_SECONDS)

    def __call__(self, query: str) -> Rows:
        self.wrapper.setQuery(_PREFIXES + query)
        problem = ""
        for attempt in range(_ATTEMPTS):
            pause = _PAUSE_SECONDS * 2**attempt
            try:
                return _rows(self.wrapper.queryAndConvert())
            except HTTPError as error:
                if error.code < 500 and error.code not in _TEMPORARY:
                    raise SourceError(f"{self.url}: refuses the query: {error}") from None
                pause = _retry_after(error) or pause
                problem = f"HTTP {error.code}"
            except (ValueError, KeyError, TypeError) as error:
                # A query that timed out can end an answer with status 200 in the middle.
                problem = f"no whole SPARQL JSON ({error})"
            except (URLError, HTTPException, OSError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            except EndPointInternalError:
                problem = "HTTP 500"
            except SPARQLWrapperException as error:
                raise SourceError(f"{self.url}: refuses the query: {error.msg}") from None
            if attempt + 1 < _ATTEMPTS:
                time.sleep(pause)
        raise SourceError(f"{self.url}: failed {_ATTEMPTS} times, last with: {problem}")


def _rows(answer: Any) -> Rows:
    rows = answer["results"]["bindings"]
    if not isinstance(rows, list):
        raise ValueError("no list of bindings")
    return rows


def _retry_after(error: HTTPError) -> float | None:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    return float(value) if value.isdigit() else None
