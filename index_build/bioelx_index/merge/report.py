"""What the merge did: the fate of every name, what joined and why, what was refused, what is weak.

The counts are whole; of the cases behind them some are kept as examples, spread evenly over all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bioelx_index.merge.hygiene import KEPT

REPORT_FILE = "merge.json"
EXAMPLES = 20
"""The most examples kept of anything."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ids that were joined or kept apart, with what they are called."""

    one: str
    one_label: str
    other: str
    other_label: str


@dataclass(frozen=True, slots=True)
class Cases:
    """How often something happened, and some of the cases."""

    count: int
    examples: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class GivenName:
    """A name as a source gives it."""

    text: str
    language: str
    source: str


@dataclass(slots=True)
class Report:
    """What came in, what stands in the result, and why the rest does not.

    Every name that came in has one fate (see `hygiene.FATES`).
    """

    records: Counter[str] = field(default_factory=Counter)
    """By source."""
    fates: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Names by source, language and fate."""
    dropped_names: dict[str, list[GivenName]] = field(default_factory=dict)
    """Examples by fate."""
    joins: dict[str, Cases] = field(default_factory=dict)
    """By evidence."""
    conflicts: dict[str, Cases] = field(default_factory=dict)
    """Joins that good evidence asked for and that were refused, by reason."""
    unsupported: Counter[str] = field(default_factory=Counter)
    """By scheme, ids that a concept holds by a loose claim alone: no names agree, and the source
    lists several ids of the scheme, or gives the id to several concepts."""
    held: Counter[str] = field(default_factory=Counter)
    """By scheme, ids that active concepts hold, their own included."""
    ambiguous: dict[str, int] = field(default_factory=dict)
    """Names that are flagged, and by how many concepts each is shared; the most shared first."""
    active: int = 0
    retired: int = 0

    @property
    def dropped(self) -> dict[str, int]:
        """How many names each rule dropped."""
        found: Counter[str] = Counter()
        for (_, _, fate), count in self.fates.items():
            if fate != KEPT:
                found[fate] += count
        return dict(found)

    def names(self, *, source: str = "", language: str = "", fate: str = "") -> int:
        """How many names came in of a source, in a language, with a fate; ``""`` for all."""
        wanted = (source, language, fate)
        return sum(
            count
            for row, count in self.fates.items()
            if all(not want or want == value for want, value in zip(wanted, row, strict=True))
        )

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "fates"}
        rows = sorted(self.fates.items())
        return {
            **plain,
            "fates": [
                {"source": source, "language": language, "fate": fate, "names": count}
                for (source, language, fate), count in rows
            ],
        }


def spread(items: Sequence[T]) -> list[T]:
    """At most `EXAMPLES` of the items, at even distances."""
    count = min(EXAMPLES, len(items))
    return [items[place * len(items) // count] for place in range(count)]
