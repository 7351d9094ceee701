"""Names by column, without those that break a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.normalise import normalise
from bioelx_index.merge.arrays import Ints, numbered, places, tally
from bioelx_index.merge.hygiene import NO_LANGUAGE, RETIRED, broken_rule, language_tag
from bioelx_index.merge.report import KEPT, Report


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
    table: pa.Table, node: Ints, trust: Ints, sources: Sequence[str], report: Report
) -> tuple[Names, Words]:
    """Numbers the names that break no rule; the fate of all others goes into the report.

    Args:
        table: names as `reading.Said` has them.
        node, trust: of each record, what it describes (-1: what is retired) and its source's rank.
    """
    record = table["record"].to_numpy()
    node, trust = node[record], trust[record]
    raw_texts, raw_langs = pc.unique(table["text"]), pc.unique(table["lang"])
    text, lang = places(table["text"], raw_texts), places(table["lang"], raw_langs)
    # Each distinct string is judged once, however many concepts it names.
    strings, tags = raw_texts.to_pylist(), [language_tag(t) for t in raw_langs.to_pylist()]
    forms = [normalise(string) for string in strings]
    of_text = [broken_rule(s, form) or KEPT for s, form in zip(strings, forms, strict=True)]
    of_lang = [KEPT if tag else NO_LANGUAGE for tag in tags]
    fates = [KEPT, *sorted({RETIRED, *of_text, *of_lang} - {KEPT})]
    by_text, by_lang = (np.array([fates.index(f) for f in of], int) for of in (of_text, of_lang))
    fate = np.where(by_text[text], by_text[text], by_lang[lang])
    fate[node < 0] = fates.index(RETIRED)
    shown = [tag or raw for tag, raw in zip(tags, raw_langs.to_pylist(), strict=True)]
    dropped = fate != 0
    report.fates += tally((trust[dropped], sources), (lang[dropped], shown), (fate[dropped], fates))

    tidy = pa.array([" ".join(string.split()) for string in strings], pa.string())
    (text_of, texts), (key_of, keys) = numbered(tidy), numbered(pa.array(forms, pa.string()))
    lang_of, langs = numbered(pa.array([tag or "" for tag in tags], pa.string()))
    names = Names(
        node=node,
        lang=lang_of[lang],
        kind=table["kind"].to_numpy(),
        trust=trust,
        text=text_of[text],
        key=key_of[text],
    )
    return names[~dropped], Words(texts, keys, langs.to_pylist())
