"""Names by column, without those that break a rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.normalise import normalise
from bioelx_index.merge.arrays import Ints, numbered, places, tally
from bioelx_index.merge.hygiene import (
    EMPTY,
    FATES,
    KEPT,
    LANGUAGE_CODE,
    NO_LANGUAGE,
    RETIRED,
    Hygiene,
    language_tag,
)
from bioelx_index.merge.report import GivenName, Report, spread

_BATCH = 1 << 16
_FATES = list(FATES)
_FATE_CODE = {fate: code for code, fate in enumerate(FATES)}
_KEPT = _FATE_CODE[KEPT]


@dataclass(frozen=True, slots=True)
class Names:
    """Names by column, a row for each time that a source gives one.

    The numbers compare as what they stand for: the concept's node, the places of language, text
    and normal form in sorted lists, of the kind in NAME_KINDS, of the source in the order of trust.
    """

    node: Ints
    lang: Ints
    kind: Ints
    trust: Ints
    text: Ints
    key: Ints

    def __getitem__(self, rows: npt.NDArray) -> Names:
        return Names(*(getattr(self, column.name)[rows] for column in fields(self)))

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, slots=True)
class Words:
    """The strings that the numbers in `Names` stand for."""

    texts: pa.StringArray
    keys: pa.StringArray
    langs: list[str]

    def lang(self, tag: str) -> int:
        """The place of a language, or -1, which no name has."""
        return self.langs.index(tag) if tag in self.langs else -1


def clean(
    table: pa.Table,
    node: Ints,
    trust: Ints,
    rules: Hygiene,
    sources: Sequence[str],
    verbatim: Collection[str],
    report: Report,
) -> tuple[Names, Words]:
    """Numbers the names that break no rule; the fate of all others goes into the report.

    Args:
        table: names as `reading.Said` has them.
        node, trust: of each record, what it describes (-1: what is retired) and its source's rank.
        verbatim: sources whose names no rule drops but that of empty ones.
    """
    record = table["record"].to_numpy()
    node, trust = node[record], trust[record]
    texts, langs = pc.unique(table["text"]), pc.unique(table["lang"])
    text, lang = places(table["text"], texts), places(table["lang"], langs)
    by_text, tidy, forms = _judged(texts, rules)
    tags = [language_tag(tag) for tag in langs.to_pylist()]
    by_lang = _fate_codes(KEPT if tag else NO_LANGUAGE for tag in tags)
    fate = np.where(by_text[text] != _KEPT, by_text[text], by_lang[lang])
    if rules.language_codes:
        codes = [(tag and tag.lower(), tag and tag.partition("-")[0]) for tag in tags]
        for own in zip(*codes, strict=True):
            is_code = text == places(pa.array(own, pa.string()), texts)[lang]
            fate[is_code & (fate == _KEPT)] = _FATE_CODE[LANGUAGE_CODE]
    untouched = np.array([source in verbatim for source in sources], np.bool_)[trust]
    fate[untouched & (by_text[text] != _FATE_CODE[EMPTY])] = _KEPT
    fate[node < 0] = _FATE_CODE[RETIRED]
    known = [tag or raw for tag, raw in zip(tags, langs.to_pylist(), strict=True)]
    dropped = fate != _KEPT
    _note(report, fate, np.flatnonzero(dropped), (trust, sources), (lang, known), (text, texts))

    (text_of, texts), (key_of, keys) = numbered(tidy), numbered(forms)
    lang_of, langs = numbered(pa.array(known, pa.string()))
    names = Names(
        node=node,
        lang=lang_of[lang],
        kind=table["kind"].to_numpy(),
        trust=trust,
        text=text_of[text],
        key=key_of[text],
    )
    return names[~dropped], Words(texts, keys, langs.to_pylist())


def _judged(texts: pa.StringArray, rules: Hygiene) -> tuple[Ints, pa.ChunkedArray, pa.ChunkedArray]:
    """The fate of each distinct text whatever its language, the text without needless space, and
    its normal form. Each is judged once, however many concepts it names, and a batch at a time:
    Python's strings are several times as large as Arrow's."""
    fates: list[Ints] = [np.zeros(0, np.int32)]
    tidy, forms = [], []
    for start in range(0, len(texts), _BATCH):
        strings = texts.slice(start, _BATCH).to_pylist()
        keys = [normalise(string) for string in strings]
        judged = zip(strings, keys, strict=True)
        fates.append(_fate_codes(rules.broken_rule(string, key) or KEPT for string, key in judged))
        tidy.append(pa.array([" ".join(string.split()) for string in strings], pa.string()))
        forms.append(pa.array(keys, pa.string()))
    return (
        np.concatenate(fates),
        pa.chunked_array(tidy, pa.string()),
        pa.chunked_array(forms, pa.string()),
    )


def _note(
    report: Report,
    fate: Ints,
    dropped: npt.NDArray[np.int64],
    source: tuple[Ints, Sequence[str]],
    language: tuple[Ints, Sequence[str]],
    text: tuple[Ints, pa.StringArray],
) -> None:
    """Counts the names that are dropped, and keeps some as examples; names are by column, each of
    places in a list."""
    (trust, sources), (lang, langs), (string, strings) = source, language, text
    report.fates += tally(
        (trust[dropped], sources), (lang[dropped], langs), (fate[dropped], _FATES)
    )
    for code in np.unique(fate[dropped]).tolist():
        report.dropped_names[_FATES[code]] = [
            GivenName(strings[int(string[row])].as_py(), langs[lang[row]], sources[trust[row]])
            for row in spread(dropped[fate[dropped] == code].tolist())
        ]


def _fate_codes(fates: Iterable[str]) -> Ints:
    return np.array([_FATE_CODE[fate] for fate in fates], np.int32)
