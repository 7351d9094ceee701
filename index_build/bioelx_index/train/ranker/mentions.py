"""Mentions in contexts whose concept is known, made without any annotation, and those of BC5CDR.

A name of a concept is put where a context tells what is meant: into the concept's own definition,
or into the description of another concept that mentions it. Names of several concepts are taken
more often than they come, for there nothing but the context can tell.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioelx.kb import KnowledgeBase, normalise
from bioelx.ranking import Window, window_around
from bioelx_eval.datasets import DATASETS, Example
from bioelx_index.calibrate import Lack
from bioelx_index.perturb import perturb
from bioelx_index.recall import sample_names
from bioelx_index.train.ranker.passages import Passage
from bioelx_index.train.ranker.settings import RankerSettings

Int64 = npt.NDArray[np.int64]

OWN, QUOTED, BARE, AMBIGUOUS = "own definition", "quoted", "bare", "ambiguous"
CORPUS, JUDGED_CORPUS = "bc5cdr-train", "bc5cdr-dev"

_LACKS = {Lack.NOTHING: 0.1, Lack.NAME: 0.25, Lack.SPELLINGS: 0.45, Lack.CONCEPT: 0.2}
_LACKS_OF_AMBIGUOUS = {Lack.NOTHING: 0.7, Lack.NAME: 0.15, Lack.SPELLINGS: 0.0, Lack.CONCEPT: 0.15}
_MISTAKEN_SHARE = 1 / 3  # of the mentions: mistyped, inflected or in another order
_SAME_LANGUAGE = 0.7  # how often a context is in the mention's language, where there is one
_SHORTEST_PASSAGE = 25  # letters; "chemical compound" tells nothing
_MOST_ALIKE = 3  # concepts that may share a passage; what more share tells nothing either
_SHORTEST_QUOTE = 5  # letters of a name looked for in descriptions
_WORDS_QUOTED = 6
_QUOTES_EACH = 20  # of one concept: not all of them are of "disease"
_CARRIERS = (("", ": {}"), ("", " – {}"), ("", " ({})"), ("{} (", ")"), ("{}: ", ""))
_SENTENCE = re.compile(r"(?<=[.!?。])\s+(?=\S)|(?<=。)")
_WORD = re.compile(r"\w[\w'’-]*")


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention with what is right for it."""

    kind: str
    window: Window
    language: str
    gold: tuple[int, ...]
    """Concept rows, any of which is right; none where the knowledge base has none."""
    held_out: bool
    text: int | None = None
    """Of a mention made of a name: that name's text id."""
    lack: Lack = Lack.NOTHING
    """What the knowledge base is to lack of its concept."""
    shown: str = ""
    """The passage that the context shows: no candidate's description may repeat it."""


def is_held_out(concept_id: str, settings: RankerSettings) -> bool:
    """Whether nothing is told of a concept; depends on the seed and the id alone."""
    drawn = zlib.crc32(f"{settings.seed} {concept_id}".encode()) / 2**32
    return drawn < settings.held_out


class Contexts:
    """What can stand around a mention of each concept of a knowledge base."""

    def __init__(self, kb: KnowledgeBase, passages: Sequence[Passage]) -> None:
        self._kb = kb
        descriptions = [each.description for each in kb.concepts(range(kb.concept_count))]
        self._own: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for row, text in enumerate(descriptions):
            self._own[row].append(("en", text))
        rows = kb.rows_bearing({passage.curie for passage in passages})
        for passage in passages:
            for row in rows.get(passage.curie, ()):
                self._own[row].append((passage.lang, passage.text))
        times = Counter(text for of_row in self._own.values() for _, text in of_row)
        self._own = {
            row: telling
            for row, of_row in self._own.items()
            if (telling := [each for each in of_row if _tells(each[1], times)])
        }
        self._quotes = _find_quotes(kb, self._own)

    def own(
        self, row: int, mention: str, language: str, rng: np.random.Generator
    ) -> tuple[Window, str] | None:
        """The mention in a definition of its concept, and the part of it that is shown."""
        passages = self._own.get(row)
        if not passages:
            return None
        same = [each for each in passages if each[0].split("-")[0] == language.split("-")[0]]
        if same and rng.random() < _SAME_LANGUAGE:
            passages = same
        _, text = passages[rng.integers(len(passages))]
        # Of several sentences one half is shown and the other left to the candidate's document.
        sentences = _SENTENCE.split(text)
        half = len(sentences) // 2
        if half:
            parts = (
                text[: text.index(sentences[half])].strip(),
                text[text.index(sentences[half]) :],
            )
            text = parts[rng.integers(2)]
        for name in sorted({n.text for n in self._kb.names_of(row)}, key=len, reverse=True):
            if len(name) > 2 and (at := re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)):
                return Window(text[: at.start()], mention, text[at.end() :]), text
        before, after = _CARRIERS[rng.integers(len(_CARRIERS))]
        return Window(before.format(text), mention, after.format(text)), text

    def quoted(self, row: int, mention: str, rng: np.random.Generator) -> tuple[Window, str] | None:
        """The mention in place of a name of its concept in another concept's description."""
        quotes = self._quotes.get(row)
        if not quotes:
            return None
        text, start, end = quotes[rng.integers(len(quotes))]
        return Window(text[:start], mention, text[end:]), text

    def __contains__(self, row: int) -> bool:
        return row in self._own


def _tells(text: str, times: Mapping[str, int]) -> bool:
    return len(text) >= _SHORTEST_PASSAGE and times[text] <= _MOST_ALIKE


def _find_quotes(
    kb: KnowledgeBase, own: Mapping[int, Sequence[tuple[str, str]]]
) -> dict[int, list[tuple[str, int, int]]]:
    """Where English passages mention other concepts by a name that only they have: by concept the
    passages, with the place of the name. The longest names go first."""
    named = _telling_names(kb)
    quotes: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    for row, passages in own.items():
        for language, text in passages:
            lowered = text.lower()
            if language != "en" or len(lowered) != len(text):
                continue
            spans = [each.span() for each in _WORD.finditer(text)]
            at = 0
            while at < len(spans):
                for words in range(min(_WORDS_QUOTED, len(spans) - at), 0, -1):
                    start, end = spans[at][0], spans[at + words - 1][1]
                    concept = named.get(lowered[start:end])
                    if concept is not None:
                        if concept != row and len(quotes[concept]) < _QUOTES_EACH:
                            quotes[concept].append((text, start, end))
                        at += words - 1
                        break
                at += 1
    return dict(quotes)


def _telling_names(kb: KnowledgeBase) -> dict[str, int]:
    """The texts, long enough, that name one concept alone, each with its row."""
    pairs = np.unique(np.stack([kb.name_text, kb.name_concept], 1), axis=0)
    texts, first, concepts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    single = concepts == 1
    keys = kb.texts.take(texts[single]).to_pylist()
    rows = pairs[first[single], 1].tolist()
    return {k: row for k, row in zip(keys, rows, strict=True) if len(k) >= _SHORTEST_QUOTE}


def made_of_names(
    kb: KnowledgeBase, contexts: Contexts, settings: RankerSettings
) -> Iterator[Mention]:
    """Mentions made of names; the same for equal seeds."""
    rng = np.random.default_rng(settings.seed)
    ambiguous = _ambiguous_names(kb, contexts)
    wanted = min(round(settings.names * settings.ambiguous), len(ambiguous))
    rows = [(int(row), True) for row in rng.choice(ambiguous, wanted, replace=False)]
    rows += [(int(row), False) for row in sample_names(kb, settings.names - wanted, rng)]
    names = kb.names([row for row, _ in rows])
    for (row, shared), name in zip(rows, names, strict=True):
        text = name.text
        if rng.random() < _MISTAKEN_SHARE and not shared:
            text = perturb(text, name.lang, rng)
        concept = int(kb.name_concept[row])
        kind, window, shown = _placed(contexts, concept, text, name.lang, shared, settings, rng)
        if not normalise(text):
            continue
        lacks = _LACKS_OF_AMBIGUOUS if shared else _LACKS
        yield Mention(
            kind=kind,
            window=window,
            language=name.lang,
            gold=(concept,),
            held_out=is_held_out(kb.concept_id(concept), settings),
            text=int(kb.name_text[row]),
            lack=list(lacks)[rng.choice(len(lacks), p=list(lacks.values()))],
            shown=shown,
        )


def _placed(
    contexts: Contexts,
    concept: int,
    text: str,
    language: str,
    shared: bool,
    settings: RankerSettings,
    rng: np.random.Generator,
) -> tuple[str, Window, str]:
    """A mention's kind, its window, and the passage in it."""
    if shared or rng.random() >= settings.bare:
        quoted = not shared and rng.random() < settings.quoted
        if quoted and (placed := contexts.quoted(concept, text, rng)):
            return QUOTED, *placed
        if placed := contexts.own(concept, text, language, rng):
            return AMBIGUOUS if shared else OWN, *placed
    return BARE, Window("", text, ""), ""


def _ambiguous_names(kb: KnowledgeBase, contexts: Contexts) -> Int64:
    """The rows of names that other concepts bear too, of concepts with a definition; one a concept
    and text."""
    pairs, rows = np.unique(np.stack([kb.name_text, kb.name_concept], 1), axis=0, return_index=True)
    concepts = np.bincount(pairs[:, 0])[pairs[:, 0]]
    known = np.fromiter((concept in contexts for concept in pairs[:, 1]), bool, len(pairs))
    return rows[(concepts > 1) & known]


def of_bc5cdr(kb: KnowledgeBase, data: Path, part: str) -> Iterator[Mention]:
    """The mentions of BC5CDR's "train" or "dev", but for composite ones.

    Raises:
        FileError: the folder does not hold it.
    """
    dataset = DATASETS[f"bc5cdr-{part}"]
    found = dataset.read(dataset.locate(data), tuple(dataset.groups))
    examples = [each for each in found if isinstance(each, Example) and not each.parts]
    rows = kb.rows_bearing({curie for each in examples for curie in each.gold})
    for each in examples:
        yield Mention(
            kind=CORPUS if part == "train" else JUDGED_CORPUS,
            window=window_around(each.query),
            language=each.query.language,
            gold=tuple(sorted({row for curie in each.gold for row in rows.get(curie, ())})),
            held_out=part == "dev",
        )
