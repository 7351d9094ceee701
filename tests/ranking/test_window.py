from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.ranking import Window, window_around
from bioelx.types import Query


def query_in(before: str, mention: str, after: str) -> Query:
    return Query(before + mention + after, len(before), len(before) + len(mention))


def test_a_short_document_is_read_whole() -> None:
    query = query_in("He had a ", "stroke", " in May.")
    assert window_around(query) == Window("He had a ", "stroke", " in May.")


def test_the_window_is_centred_and_ends_between_words() -> None:
    window = window_around(query_in("left " * 100, "stroke", " right" * 100), chars=106)
    assert window == Window("left " * 10, "stroke", " right" * 8)


def test_a_side_takes_the_room_the_other_leaves() -> None:
    window = window_around(query_in("At ", "onset", " it was" * 100), chars=78)
    assert window == Window("At ", "onset", " it was" * 10)


def test_other_white_space_parts_words_too() -> None:
    window = window_around(
        query_in("Befund:\tbekannte\n", "Angina", "\nseit\t2019 erneut"), chars=28
    )
    assert window == Window("bekannte\n", "Angina", "\nseit\t2019")


def test_scripts_without_spaces_are_cut_anywhere() -> None:
    window = window_around(query_in("前" * 100, "心筋梗塞", "後" * 100), chars=44)
    assert window == Window("前" * 20, "心筋梗塞", "後" * 20)


@given(st.text(), st.text(min_size=1), st.text(), st.integers(0, 40))
def test_a_window_is_a_part_of_its_document(
    before: str, mention: str, after: str, chars: int
) -> None:
    window = window_around(query_in(before, mention, after), chars=chars)
    assert window.mention == mention
    assert before.endswith(window.before)
    assert after.startswith(window.after)
    assert len(window.before) + len(window.after) <= max(0, chars - len(mention))


@pytest.mark.parametrize("chars", [0, 3])
def test_a_mention_longer_than_the_window_stands_alone(chars: int) -> None:
    assert window_around(query_in("a ", "long mention", " z"), chars=chars) == Window(
        "", "long mention", ""
    )
