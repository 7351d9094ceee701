"""Entities as lines of Wikidata's JSON dump: of items that are given, and of all else that a dump
is full of.

The shape is that of Wikibase's `dumpJson.php`: statements with hashes, qualifiers and references,
sitelinks with badges, `[]` for what is empty, non-ASCII characters and slashes escaped as PHP does.
Everything follows from the seed and the number of the entity alone.

    python -m bioelx_index.benchmark.entities --slice data/wikidata/slice.nt.xz \\
        --items 1000000 --out items.json

writes the very items that `enlarge` writes as N-Triples, and nothing else, as a dump.
"""
# ruff: noqa: S311  (random data, no secrets)

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from bioelx.errors import BioelxError
from bioelx_index.benchmark.enlarge import SyntheticItem, items
from bioelx_index.sources.wikidata.vocabulary import INSTANCE_OF, SUBCLASS_OF

# Properties that most of Wikidata's statements have, with how often (in ten thousand) an entity's
# statement is of it: works, people, places, stars, categories, taxa. None that selects by default.
_WIKIBASE_ITEM = {
    "P31": 900, "P17": 250, "P131": 220, "P921": 200, "P1433": 450, "P407": 130, "P50": 220,
    "P21": 90, "P27": 70, "P106": 130, "P735": 70, "P734": 50, "P19": 60, "P20": 30, "P69": 40,
    "P105": 35, "P171": 35, "P703": 30, "P279": 25, "P361": 40, "P59": 60, "P6259": 60, "P1343": 60,
    "P910": 15, "P301": 10, "P4224": 10, "P276": 30, "P195": 20, "P186": 15, "P170": 20,
}  # fmt: skip
_STRING = {"P2093": 1500, "P304": 330, "P433": 330, "P478": 350, "P373": 60, "P528": 60, "P281": 15}
_EXTERNAL_ID = {
    "P698": 300, "P356": 330, "P932": 150, "P214": 80, "P244": 40, "P227": 40, "P213": 40,
    "P496": 40, "P646": 80, "P4849": 10, "P4860": 5, "P7859": 40, "P2671": 40, "P830": 15,
    "P846": 20, "P685": 3, "P351": 3, "P352": 3, "P1566": 40, "P590": 8, "P3083": 60, "P10283": 60,
    "P6366": 60, "P5875": 30, "P4938": 10, "P6769": 10, "P2670": 10, "P1015": 10, "P4839": 5,
}  # fmt: skip
_TIME = {"P577": 400, "P569": 80, "P570": 40, "P571": 30}
_QUANTITY = {"P2215": 50, "P2214": 50, "P1215": 50, "P2583": 20, "P1082": 20, "P2044": 15}
_TEXT = {"P1476": 400, "P1705": 10, "P1559": 10}
_WEIGHTS = {**_WIKIBASE_ITEM, **_STRING, **_EXTERNAL_ID, **_TIME, **_QUANTITY, **_TEXT}
_REFERENCES = 1000
_COMMON_LANGUAGES = ("en", "de", "fr", "es", "nl", "ru", "ja", "zh", "ar", "uk", "it", "pt", "sv")
_OTHER_LANGUAGES = (
    "ast", "bg", "bn", "ca", "cs", "da", "el", "eo", "et", "fa", "fi", "gl", "gu", "he", "hu",
    "hy", "id", "ka", "ko", "lt", "mk", "ms", "nb", "nn", "oc", "pl", "ro", "sk", "sq", "sr", "ta",
    "te", "tg", "th", "tl", "tr", "ur", "vi", "wuu", "yue", "zh-cn", "zh-hans", "zh-hant", "zh-tw",
)  # fmt: skip
_SITES = tuple(f"{code}wiki" for code in (*_COMMON_LANGUAGES, "ceb", "arz", "simple", "commons"))
_CALENDAR = "http://www.wikidata.org/entity/Q1985727"


class Filler:
    """All that a dump holds beside the items that are looked for.

    Args:
        texts: real names, to take labels, titles and authors from.
    """

    def __init__(self, texts: Sequence[str], seed: int = 20) -> None:
        self._texts = texts
        self._seed = seed
        self._snaks: dict[str, list[bytes]] = {}
        rng = random.Random(seed)
        self._references = [self._reference(rng) for _ in range(_REFERENCES)]
        ordinals = [str(number) for number in range(1, 100)]
        self._qualifiers = [b"", *(_qualifier("P1545", _string(each)) for each in ordinals)]

    def line(self, number: int) -> bytes:
        """The entity of this number, without a line end."""
        rng = random.Random(f"{self._seed}/{number}")
        qid = 200_000_000 + number
        title = self._text(rng)
        languages = _languages(rng)
        terms = dict.fromkeys(languages[: 1 + len(languages) // 2], title)
        descriptions = {code: self._text(rng) for code in languages}
        aliases = {code: [self._text(rng)] for code in languages[: rng.choice((0, 0, 0, 1, 2))]}
        sites = rng.sample(_SITES, rng.choice((0, 0, 0, 0, 1, 1, 2, 5)))
        modified = f"20{rng.randrange(18, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        statements = self.statements(rng, qid, count=1 + int(rng.lognormvariate(1.8, 0.75)))
        return _entity(
            qid,
            terms,
            descriptions,
            aliases,
            statements,
            dict.fromkeys(sites, title),
            f"{modified}T12:00:00Z",
        )

    def statements(self, rng: random.Random, qid: int, count: int) -> dict[str, list[bytes]]:
        """So many statements by their properties, none of which selects an item by default."""
        found: dict[str, list[bytes]] = {}
        # Bots give all that they add to an item the same reference or two.
        sources = rng.sample(self._references, 3)
        for prop in rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=count):
            qualifier = b"" if prop != "P2093" else rng.choice(self._qualifiers)
            references = rng.choices(sources, k=rng.choice((0, 1, 1, 2)))
            statement = _statement(rng, qid, rng.choice(self._claimed(prop)), qualifier, references)
            found.setdefault(prop, []).append(statement)
        return found

    def _claimed(self, prop: str) -> list[bytes]:
        """What statements of a property say, somewhere in the dump."""
        if prop not in self._snaks:
            rng = random.Random(f"{self._seed}/{prop}")
            self._snaks[prop] = [self._snak(rng, prop) for _ in range(20 + 2 * _WEIGHTS[prop])]
        return self._snaks[prop]

    def _text(self, rng: random.Random) -> str:
        return self._texts[rng.randrange(len(self._texts))]

    def _snak(self, rng: random.Random, prop: str) -> bytes:
        if prop in _WIKIBASE_ITEM:
            return _item_snak(prop, rng.randrange(1, 120_000_000))
        if prop in _STRING:
            return _snak(prop, _string(self._text(rng)), "string")
        if prop in _EXTERNAL_ID:
            return _snak(prop, _string(str(rng.randrange(10**8))), "external-id")
        if prop in _TIME:
            return _time_snak(prop, f"+{rng.randrange(1850, 2026)}-{rng.randrange(1, 10):02}-17")
        if prop in _QUANTITY:
            value = {"amount": f"+{rng.random() * 1000:.3f}", "unit": "1"}
            return _snak(prop, {"value": value, "type": "quantity"}, "quantity")
        return _text_snak(prop, self._text(rng), rng.choice(_COMMON_LANGUAGES))

    def _reference(self, rng: random.Random) -> bytes:
        snaks = {"P248": _item_snak("P248", rng.randrange(1, 10_000_000))}
        if rng.random() < 0.5:
            snaks["P854"] = _snak(
                "P854", _string(f"https://example.org/{rng.randrange(10**9)}"), "url"
            )
        day = f"+20{rng.randrange(15, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        snaks["P813"] = _time_snak("P813", day)
        digest = hashlib.sha1(b"".join(snaks.values()), usedforsecurity=False).hexdigest()
        inner = b",".join(b'"%s":[%s]' % (prop.encode(), snak) for prop, snak in snaks.items())
        return b'{"hash":"%s","snaks":{%s},"snaks-order":%s}' % (
            digest.encode(),
            inner,
            _php(list(snaks)),
        )


def as_json(item: SyntheticItem, others: Mapping[str, Sequence[bytes]] | None = None) -> bytes:
    """An item's line of the dump, without a line end.

    Args:
        others: statements of other properties to put beside the item's own.
    """
    qid = int(item.qid[1:])
    rng = random.Random(qid)
    statements = {
        prop: [_statement(rng, qid, _claim(prop, value), b"", ()) for value in values]
        for prop, values in item.claims.items()
        if values
    }
    return _entity(
        qid,
        item.labels,
        item.descriptions,
        item.aliases,
        {**{p: s for p, s in (others or {}).items() if p not in statements}, **statements},
        item.sitelinks,
        item.modified,
    )


def as_dump(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a dump of these entities: an array, with an entity a line."""
    before = b"[\n"
    for line in lines:
        yield before + line
        before = b",\n"
    yield b"\n]\n"


def _entity(
    qid: int,
    labels: Mapping[str, str],
    descriptions: Mapping[str, str],
    aliases: Mapping[str, Sequence[str]],
    statements: Mapping[str, Sequence[bytes]],
    sitelinks: Mapping[str, str],
    modified: str,
) -> bytes:
    claims = b",".join(
        b'"%s":[%s]' % (prop.encode(), b",".join(group)) for prop, group in statements.items()
    )
    links = {site: {"site": site, "title": t, "badges": []} for site, t in sitelinks.items()}
    return (
        b'{"type":"item","id":"Q%d","labels":%s,"descriptions":%s,"aliases":%s,"claims":%s,'
        b'"sitelinks":%s,"pageid":%d,"ns":0,"title":"Q%d","lastrevid":%d,"modified":"%s"}'
        % (
            qid,
            _php(_terms(labels)),
            _php(_terms(descriptions)),
            _php({code: [_term(code, t) for t in texts] for code, texts in aliases.items()}),
            b"{%s}" % claims if claims else b"[]",
            _php(links),
            qid + 1000,
            qid,
            2 * qid + 7,
            modified.encode(),
        )
    )


def _statement(
    rng: random.Random, qid: int, snak: bytes, qualifier: bytes, references: Iterable[bytes]
) -> bytes:
    guid = rng.randbytes(16).hex().upper()
    cited = b",".join(references)
    return b'{"mainsnak":%s,"type":"statement"%s,"id":"Q%d$%s","rank":"normal"%s}' % (
        snak,
        qualifier,
        qid,
        "-".join((guid[:8], guid[8:12], guid[12:16], guid[16:20], guid[20:])).encode(),
        b',"references":[%s]' % cited if cited else b"",
    )


def _claim(prop: str, value: Any) -> bytes:
    """The main snak of a value as a synthetic item has it: an item, a text in a language, an id."""
    if isinstance(value, tuple):
        return _text_snak(prop, *value)
    if prop in (INSTANCE_OF, SUBCLASS_OF):
        return _item_snak(prop, int(value[1:]))
    return _snak(prop, _string(value), "external-id")


def _qualifier(prop: str, value: dict[str, Any]) -> bytes:
    snak = _snak(prop, value, "string")
    return b',"qualifiers":{"%s":[%s]},"qualifiers-order":%s' % (prop.encode(), snak, _php([prop]))


def _item_snak(prop: str, qid: int) -> bytes:
    value = {"entity-type": "item", "numeric-id": qid, "id": f"Q{qid}"}
    return _snak(prop, {"value": value, "type": "wikibase-entityid"}, "wikibase-item")


def _text_snak(prop: str, text: str, code: str) -> bytes:
    value = {"value": {"text": text, "language": code}, "type": "monolingualtext"}
    return _snak(prop, value, "monolingualtext")


def _time_snak(prop: str, day: str) -> bytes:
    value = {
        "time": f"{day}T00:00:00Z",
        "timezone": 0,
        "before": 0,
        "after": 0,
        "precision": 11,
        "calendarmodel": _CALENDAR,
    }
    return _snak(prop, {"value": value, "type": "time"}, "time")


def _snak(prop: str, value: dict[str, Any], datatype: str) -> bytes:
    encoded = _php(value)
    digest = hashlib.sha1(prop.encode() + encoded, usedforsecurity=False).hexdigest()
    return b'{"snaktype":"value","property":"%s","hash":"%s","datavalue":%s,"datatype":"%s"}' % (
        prop.encode(),
        digest.encode(),
        encoded,
        datatype.encode(),
    )


def _string(text: str) -> dict[str, Any]:
    return {"value": text, "type": "string"}


def _languages(rng: random.Random) -> list[str]:
    """The languages of an entity: few as a rule, dozens where bots have translated it."""
    few = rng.sample(_COMMON_LANGUAGES, rng.choice((1, 2, 3, 4)))
    return [*few, *_OTHER_LANGUAGES] if rng.random() < 0.15 else few


def _terms(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {code: _term(code, text) for code, text in texts.items()}


@lru_cache(4096)
def _term(code: str, text: str) -> dict[str, str]:
    return {"language": code, "value": text}


def _php(value: Any) -> bytes:
    """JSON as PHP's `json_encode` writes it; an array without members is a list to PHP."""
    encoded = json.dumps(value, separators=(",", ":")) if value else "[]"
    return encoded.replace("/", "\\/").encode()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_index.benchmark.entities",
        description="Enlarges a slice of Wikidata to any number of items, as a JSON dump.",
    )
    parser.add_argument("--slice", type=Path, required=True, help=".nt or .nt.xz")
    parser.add_argument("--items", type=int, required=True, help="how many, all in all")
    parser.add_argument("--out", type=Path, required=True, help="the .json file to write")
    options = parser.parse_args()
    try:
        with options.out.open("wb") as out:
            out.writelines(as_dump(map(as_json, items(options.slice, options.items))))
    except BioelxError as error:
        sys.exit(f"entities: {error}")


if __name__ == "__main__":
    main()
