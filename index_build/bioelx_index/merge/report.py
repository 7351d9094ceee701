"""What the merge did: the fate of every name, what joined and what was refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

KEPT = "kept"


@dataclass(slots=True)
class Report:
    """What came in, what stands in the result, and why the rest does not.

    Every name that came in has one fate: `KEPT`, or the rule that dropped it.
    """

    records: Counter[str] = field(default_factory=Counter)
    """By source."""
    fates: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Names by source, language and fate."""
    joins: Counter[str] = field(default_factory=Counter)
    """By evidence."""
    conflicts: list[tuple[str, str, str]] = field(default_factory=list)
    """Refused joins: one id, the other, and why."""
    unsupported: Counter[str] = field(default_factory=Counter)
    """By scheme, ids that a concept holds by a loose claim alone: no names agree, and the source
    lists several ids of the scheme, or gives the id to several concepts."""

    @property
    def dropped(self) -> dict[str, int]:
        """How many names each rule dropped."""
        found: Counter[str] = Counter()
        for (_, _, fate), count in self.fates.items():
            if fate != KEPT:
                found[fate] += count
        return dict(found)

    def kept(self, source: str) -> int:
        """How many of a source's names stand in the result."""
        return sum(n for (of, _, fate), n in self.fates.items() if (of, fate) == (source, KEPT))
