"""When a release is worse than the one before: by row, by language, beyond the margin."""

from collections.abc import Sequence

import pytest

from bioelx.gate import Answer, Row, Verdict, compare
from bioelx.types import Query

ROWS = [Row(str(n), Query.bare("flu", "en" if n % 2 else "de"), ("a:1",)) for n in range(100)]


def answers(right: Sequence[int], unknown: Sequence[int] = ()) -> list[Answer]:
    return [
        Answer(row.id, row.query.language, n not in unknown, n in right, None, None, 0.5)
        for n, row in enumerate(ROWS)
    ]


def verdict(before: list[Answer], now: list[Answer]) -> Verdict:
    return compare(ROWS, before, now, margin=0.02, max_gone=0.1)


@pytest.mark.parametrize(
    ("right", "is_refused"), [(80, False), (78, False), (77, True), (100, False), (0, True)]
)
def test_a_fall_beyond_the_margin_is_refused(right: int, is_refused: bool) -> None:
    judged = verdict(answers(range(80)), answers(range(right)))
    assert bool(judged.refusal) == is_refused
    assert judged.total.fall == pytest.approx((80 - right) / 100)


def test_rows_that_changed_sides_make_up_for_each_other() -> None:
    judged = verdict(answers(range(50)), answers(range(40, 90)))
    assert judged.refusal == ""
    assert (judged.total.gained, judged.total.lost) == (40, 40)
    assert [change.row.id for change in judged.lost] == [str(n) for n in range(40)]
    assert [change.row.id for change in judged.gained] == [str(n) for n in range(50, 90)]
    german, english = judged.languages
    assert (german.language, german.compared, german.right_before, german.right) == (
        "de",
        50,
        25,
        25,
    )
    assert english.lost == german.lost == 20


def test_concepts_that_are_not_there_stand_apart() -> None:
    """A part of the knowledge base is no worse for what it leaves out, up to a share."""
    judged = verdict(answers(range(100)), answers(range(10, 100), unknown=range(10)))
    assert (judged.refusal, judged.total.fall) == ("", 0)
    assert (judged.total.compared, judged.total.gone) == (90, 10)
    assert judged.lost == ()
    gone = verdict(answers(range(100)), answers(range(11, 100), unknown=range(11)))
    assert "11 of 100 mentions have lost their concept" in gone.refusal


def test_what_the_parent_did_not_know_is_nothing_to_compare_with() -> None:
    judged = verdict(answers([], unknown=range(60)), answers(range(60)))
    assert (judged.total.compared, judged.total.unknown, judged.total.gained) == (40, 60, 0)


def test_too_few_rows_say_nothing() -> None:
    few = range(15, 100)
    judged = verdict(answers(range(15), unknown=few), answers([], unknown=few))
    assert (judged.total.lost, judged.refusal) == (15, "")
