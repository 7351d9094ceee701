"""What sets the answers of two releases apart, and whether that is a fall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bioelx.gate.rows import Row
from bioelx.gate.run import Answer

ENOUGH = 20
"""Rows below which a difference says nothing."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows of one language, or of all, in numbers. Only `compared` ones are judged."""

    language: str
    compared: int
    """Both releases hold an expected concept, or none is expected."""
    right_before: int
    right: int
    gained: int
    """Right now, wrong before."""
    lost: int
    gone: int
    """The release before held an expected concept, this one does not."""
    unknown: int
    """The release before did not hold one either: nothing to compare with."""

    @property
    def fall(self) -> float:
        """The paired difference, before less now, as a share of the compared rows."""
        return (self.lost - self.gained) / self.compared if self.compared else 0.0

    @property
    def share_gone(self) -> float:
        held = self.compared + self.gone
        return self.gone / held if held else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A row that was right in one release and is not in the other."""

    row: Row
    before: Answer
    now: Answer


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison of two releases, row by row."""

    languages: tuple[Tally, ...]
    total: Tally
    lost: tuple[Change, ...]
    gained: tuple[Change, ...]
    refusal: str
    """Why the release is refused; empty: it is not."""


def compare(
    rows: Sequence[Row],
    before: Sequence[Answer],
    now: Sequence[Answer],
    *,
    margin: float,
    max_gone: float,
) -> Verdict:
    """Compares the answers of two releases to the same rows, in their order.

    The difference is a paired one: each row is compared with itself, so that what is hard for both
    releases does not count.

    Args:
        margin: the share of the compared rows by which a release may be worse.
        max_gone: the share of the expected concepts that may be gone.
    """
    changes = [Change(*each) for each in zip(rows, before, now, strict=True)]
    by_language: dict[str, list[Change]] = {}
    for change in changes:
        by_language.setdefault(change.now.language, []).append(change)
    total = _tally("all", changes)
    compared = [each for each in changes if _kind(each) == "compared"]
    return Verdict(
        languages=tuple(_tally(name, of) for name, of in by_language.items()),
        total=total,
        lost=tuple(each for each in compared if each.before.right and not each.now.right),
        gained=tuple(each for each in compared if each.now.right and not each.before.right),
        refusal=_refusal(total, margin, max_gone),
    )


def _tally(language: str, changes: Sequence[Change]) -> Tally:
    kinds = Counter(map(_kind, changes))
    right = _count_right(each for each in changes if _kind(each) == "compared")
    return Tally(
        language=language,
        compared=kinds["compared"],
        right_before=right[True, True] + right[True, False],
        right=right[True, True] + right[False, True],
        gained=right[False, True],
        lost=right[True, False],
        gone=kinds["gone"],
        unknown=kinds["unknown"],
    )


def _count_right(compared: Iterable[Change]) -> Counter[tuple[bool, bool]]:
    return Counter((each.before.right, each.now.right) for each in compared)


def _kind(change: Change) -> str:
    if not change.before.known:
        return "unknown"
    return "compared" if change.now.known else "gone"


def _refusal(total: Tally, margin: float, max_gone: float) -> str:
    if total.compared + total.gone < ENOUGH:
        return ""
    if total.share_gone > max_gone:
        return (
            f"{total.gone} of {total.compared + total.gone} mentions have lost their concept "
            f"({total.share_gone:.1%}, allowed are {max_gone:.1%})"
        )
    if total.fall > margin:
        return (
            f"{total.right} of {total.compared} mentions come out right, were {total.right_before} "
            f"(a fall of {100 * total.fall:.1f} points, allowed are {100 * margin:.1f})"
        )
    return ""
