"""What is linked when speed is measured: a benchmark's mentions, or names with a typing error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bioelx.errors import BioelxError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.types import Query
from bioelx_eval.coverage import GoldConcepts
from bioelx_eval.datasets import Dataset, Example

SHORTEST = 5
"""Letters of a name that is still told from others after a typing error."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A query with the rows of the concepts that are right for it."""

    query: Query
    gold: frozenset[int]


def from_dataset(
    dataset: Dataset, data: Path, kb: KnowledgeBase, count: int, rng: Random
) -> list[Mention]:
    """At most `count` random mentions of a benchmark whose concept the knowledge base holds.

    Raises:
        FileError: the dataset is missing or malformed.
        BioelxError: the knowledge base holds none of its concepts.
    """
    read = dataset.read(dataset.locate(data), tuple(dataset.groups))
    examples = [each for each in read if isinstance(each, Example)]
    gold = GoldConcepts.find(kb, frozenset(curie for each in examples for curie in each.gold))
    mentions = [
        Mention(each.query, frozenset(rows)) for each in examples if (rows := gold.rows(each.gold))
    ]
    if not mentions:
        raise BioelxError(f"the release holds no concept of {dataset.title}")
    rng.shuffle(mentions)
    return mentions[:count]


def distinct_mentions(
    kb: KnowledgeBase, count: int, rng: Random, first: Iterable[Mention] = ()
) -> list[Mention]:
    """`count` mentions that differ after normalisation, so that none is another's in a cache.

    Args:
        first: taken as far as they go; the others are names with a typing error.

    Raises:
        BioelxError: the knowledge base has too few names for so many.
    """
    found = {normalise(mention.query.mention): mention for mention in first}
    while len(found) < count:
        before = len(found)
        for mention in with_typing_errors(kb, count, rng):
            found.setdefault(normalise(mention.query.mention), mention)
        if len(found) == before:
            raise BioelxError(
                f"the release has names for {len(found):,} different mentions, not for {count:,}"
            )
    return list(found.values())[:count]


def with_typing_errors(kb: KnowledgeBase, count: int, rng: Random) -> list[Mention]:
    """`count` random names of the knowledge base, each changed so that it is no name of it.

    Raises:
        BioelxError: it has no name long enough.
    """
    mentions: list[Mention] = []
    for _ in range(50 * count):
        name = kb.name(rng.randrange(kb.name_count))
        text = mistype(name.text, rng)
        row = kb.text_id(normalise(name.text))
        if len(name.text) < SHORTEST or row is None or kb.text_id(normalise(text)) is not None:
            continue
        right = frozenset(int(kb.name_concept[each]) for each in kb.name_rows(row))
        language = "" if name.lang == "und" else name.lang
        mentions.append(Mention(Query.bare(text, language), right))
        if len(mentions) == count:
            return mentions
    if not mentions:
        raise BioelxError(f"the release has no name of {SHORTEST} letters to mistype")
    return mentions


def mistype(text: str, rng: Random) -> str:
    """`text` with a letter left out, doubled, or in its neighbour's place; the first one stays."""
    at = rng.randrange(1, len(text)) if len(text) > 1 else 0
    letter, rest = text[at], text[at + 1 :]
    changed = rng.choice(("", letter * 2, rest[:1] + letter))
    return text[:at] + changed + (rest[1:] if changed == rest[:1] + letter else rest)
