"""The names that an encoder learns from, and those that are held out to judge it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bioelx.errors import BioelxError, FileError
from bioelx.kb.normalise import normalise
from bioelx.kb.tables import NAMES_FILE, map_table
from bioelx_index.perturb import without_diacritics
from bioelx_index.train.settings import LANGUAGES

Texts = npt.NDArray[np.object_]
Int64 = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_] | Int64

_COLUMNS = ("key", "concept_id", "lang", "kind", "ambiguous")
SHORTEST = 2  # letters: one letter names nothing
_PLURAL = re.compile(r"(?<=[a-z]{3})'?s\b")  # and genitive: Crohn's disease
_NOT_BETWEEN_DIGITS = re.compile(r"(?<!\d) | (?!\d)")


@dataclass(frozen=True)
class Names:
    """Names by row: normalised text, concept (a running number), primary language subtag, and how
    well it stands for its concept (0, an English label, best)."""

    texts: Texts
    concepts: Int64
    languages: Texts
    standings: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Rows) -> Names:
        return Names(
            self.texts[rows], self.concepts[rows], self.languages[rows], self.standings[rows]
        )

    def __add__(self, other: Names) -> Names:
        """Both, the concepts of `other` numbered after one's own."""
        after = int(self.concepts.max(initial=-1)) + 1
        return Names(
            np.concatenate([self.texts, other.texts]),
            np.concatenate([self.concepts, other.concepts + after]),
            np.concatenate([self.languages, other.languages]),
            np.concatenate([self.standings, other.standings]),
        )

    def label_rows(self) -> Int64:
        """The row of the name that stands for each concept, in the order of the concepts."""
        order = np.lexsort((self.standings, self.concepts))
        first = np.diff(self.concepts[order], prepend=-1) != 0
        return order[first]


def read_names(tables: Path, longest: int) -> Names:
    """The names of a release's knowledge base that tell one concept: none that is flagged
    ambiguous, none that two concepts share, none of more than `longest` letters.

    Raises:
        FileError: `tables` does not hold such a table.
    """
    table = map_table(tables / NAMES_FILE)
    try:
        columns = {name: _whole(table[name]) for name in _COLUMNS}
        key, concept = columns["key"].indices, columns["concept_id"].indices
        ambiguous = columns["ambiguous"].to_numpy(zero_copy_only=False)
    except (KeyError, AttributeError) as error:
        raise FileError(tables / NAMES_FILE, f"not a release's table ({error})") from None
    keys, concepts = key.to_numpy(), concept.to_numpy().astype(np.int64)
    languages = _primary(columns["lang"])
    # Keys are sorted: a text of several concepts has its lowest and highest apart.
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, int)
    shared = np.zeros(len(keys), bool)
    if len(keys):
        low, high = np.minimum.reduceat(concepts, starts), np.maximum.reduceat(concepts, starts)
        shared = np.repeat(low != high, np.diff(np.r_[starts, len(keys)]))
    texts = np.array(columns["key"].dictionary.to_pylist(), object)[keys]
    kinds = np.array([kind != "label" for kind in columns["kind"].dictionary.to_pylist()], np.int8)
    standings = 2 * (languages != "en").astype(np.int8) + kinds[columns["kind"].indices.to_numpy()]
    names = Names(texts, concepts, languages, standings)
    return names.take(_distinct(names) & ~shared & ~ambiguous & _of_length(texts, longest))


def read_titles(path: Path, known: Names, items: int, longest: int) -> Names:
    """Titles of one item in several languages, without what brackets tell apart: of the `items`
    with most languages.

    Items of which a title is a known name are left out: they are the same things, or namesakes of
    other things, and in either case no good to tell apart from the known ones.

    Raises:
        FileError: the file is missing or has no columns item, lang, title.
    """
    names = _read_bitext(path)
    of_known = names.concepts[_among(names, known.texts)]
    good = _distinct(names) & _of_length(names.texts, longest) & ~np.isin(names.concepts, of_known)
    titles = names.take(good)
    return titles.take(np.isin(titles.concepts, widest(titles, items)))


def widest(titles: Names, items: int) -> Int64:
    """The `items` with most titles, and with two at least."""
    counts = np.bincount(titles.concepts)
    order = np.argsort(-counts, kind="stable")[:items]
    return order[counts[order] > 1]


def read_words(path: Path, held_out: Names, longest: int) -> Names:
    """Words and terms with their translations, to be drawn as names are, without the texts that
    are held out.

    Items stay of which a word is a known name: losses do not tell apart what is called the same.

    Raises:
        FileError: the file is missing or has no columns item, lang, title.
    """
    words = _read_bitext(path)
    good = _distinct(words) & _of_length(words.texts, longest)
    return words.take(good & ~_among(words, held_out.texts))


def _read_bitext(path: Path) -> Names:
    try:
        table = pq.read_table(path, columns=["item", "lang", "title"])
    except (OSError, pa.ArrowInvalid) as error:
        raise FileError(path, f"not a Parquet file of item, lang, title ({error})") from None
    plain = pc.replace_substring_regex(table["title"], r"\s*[(（][^()（）]*[)）]\s*$", "")
    texts = np.array([normalise(title) for title in plain.to_pylist()], object)
    languages = _primary(_whole(table["lang"]))
    standings = (languages != "en").astype(np.int8)
    return Names(texts, table["item"].to_numpy().astype(np.int64), languages, standings)


def hold_out(names: Names, each: int, rng: np.random.Generator) -> tuple[Names, Names]:
    """Splits off `each` names of each of LANGUAGES, with every other row of the same text.

    A held-out name's concept keeps at least one name of another text, or there would be nothing to
    find. Returns the rest and the held-out names.
    """
    siblings = np.bincount(names.concepts, minlength=1)[names.concepts]
    chosen: list[Int64] = []
    for language in LANGUAGES:
        rows = np.flatnonzero((names.languages == language) & (siblings > 2))
        chosen.append(rng.choice(rows, min(each, len(rows)), replace=False))
    return _apart(names, names.take(np.concatenate(chosen)))


def hold_out_texts(names: Names, texts: Collection[str]) -> tuple[Names, Names]:
    """Splits off the names in LANGUAGES that are among `texts`, as `hold_out` does."""
    among = _among(names, texts)
    return _apart(names, names.take(among & np.isin(names.languages, LANGUAGES)))


def _apart(names: Names, held: Names) -> tuple[Names, Names]:
    rest = names.take(~_among(names, held.texts))
    return rest, held.take(np.isin(held.concepts, rest.concepts))


def _among(names: Names, texts: Collection[str] | Texts) -> npt.NDArray[np.bool_]:
    sought = pa.array(list(texts), pa.large_string())
    return pc.is_in(_strings(names.texts), value_set=sought).to_numpy(zero_copy_only=False)


def without_near_duplicates(names: Names) -> Names:
    """The names that differ from every other concept's in more than signs, spaces, diacritics or
    the ending of an English plural: "type-2 diabetes" and "type 2 diabetes" are one to a reader,
    and no good to tell two concepts apart."""
    gists = np.array([_gist(text) for text in names.texts], object)
    codes = _strings(gists).dictionary_encode().indices.to_numpy()
    low = np.full(codes.max(initial=-1) + 1, np.iinfo(np.int64).max)
    high = np.full_like(low, -1)
    np.minimum.at(low, codes, names.concepts)
    np.maximum.at(high, codes, names.concepts)
    return names.take((low == high)[codes])


def _gist(text: str) -> str:
    """What near-duplicates have in common; the text itself, if that is nothing."""
    plain = _PLURAL.sub("", without_diacritics(text))
    # Marks are vowels in Thai and Hindi: what goes are signs and spaces.
    plain = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in plain)
    return _NOT_BETWEEN_DIGITS.sub("", " ".join(plain.split())) or text


def speaking(names: Names, languages: tuple[str, ...]) -> Names:
    """The names in these languages.

    Raises:
        BioelxError: there is none.
    """
    chosen = names.take(np.isin(names.languages, languages))
    if not len(chosen):
        raise BioelxError(f"languages {', '.join(languages)}: no name is in any of them")
    return chosen


def _distinct(names: Names) -> npt.NDArray[np.bool_]:
    """Marks one row of each text of a concept: sources repeat a name in several languages."""
    codes = _strings(names.texts).dictionary_encode().indices.to_numpy().astype(np.int64)
    order = np.lexsort((names.standings, codes, names.concepts))
    first = (np.diff(codes[order], prepend=-1) != 0) | (
        np.diff(names.concepts[order], prepend=-1) != 0
    )
    marked = np.zeros(len(names), bool)
    marked[order[first]] = True
    return marked


def _strings(texts: Texts) -> pa.Array:
    return pa.array(texts, pa.large_string())


def _of_length(texts: Texts, longest: int) -> npt.NDArray[np.bool_]:
    letters = np.fromiter(map(len, texts), np.int64, len(texts))
    return (letters >= SHORTEST) & (letters <= longest)


def _primary(languages: pa.Array) -> Texts:
    if not pa.types.is_dictionary(languages.type):
        languages = languages.dictionary_encode()
    subtags = [tag.split("-")[0] for tag in languages.dictionary.to_pylist()]
    return np.array(subtags, object)[languages.indices.to_numpy()]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    column = column.combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
