"""Errors by kind: what a mention that is not answered right failed at."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum


class ErrorKind(StrEnum):
    """The kinds, which exclude each other: the first that holds, in this order."""

    LINKED_NIL = "linked though NIL"
    """The mention has no gold id, and a concept was linked."""
    NOT_COVERED = "not covered"
    """No active concept of the release bears a gold id."""
    NOT_RETRIEVED = "not retrieved"
    """No candidate is right (of a composite mention: of one of its parts)."""
    WRONG_TYPE = "wrong type"
    """A later candidate is right, and the first one has no type of the gold concepts."""
    RANKED_BELOW = "ranked below"
    """A later candidate is right, and the first one is of its type."""


def error_kind(
    *,
    has_gold: bool,
    reachable: bool,
    linked: bool,
    rank: int | None,
    gold_types: Collection[str],
    wrong_firsts: Iterable[Collection[str]],
) -> ErrorKind | None:
    """What is wrong with one answer; None where nothing is.

    Whether the threshold let a link through matters only for mentions without gold: all other kinds
    tell why the first candidate is not right, as R@1 counts it.

    Args:
        rank: of the first right candidate, None where none is; of the worst part.
        gold_types: of all gold concepts.
        wrong_firsts: the types of each first candidate that is not right: one, or one a part.
    """
    if not has_gold:
        return ErrorKind.LINKED_NIL if linked else None
    if not reachable:
        return ErrorKind.NOT_COVERED
    if rank is None:
        return ErrorKind.NOT_RETRIEVED
    if rank == 1:
        return None
    if any(set(types).isdisjoint(gold_types) for types in wrong_firsts):
        return ErrorKind.WRONG_TYPE
    return ErrorKind.RANKED_BELOW
