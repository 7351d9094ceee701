"""Answers that end anywhere, and come in pieces of any size."""

from __future__ import annotations

import gzip
import io
from email.message import Message
from typing import Any

import ijson
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx_index.sources.wikidata.answer import Answer, FailedError, rows
from bioelx_index.sources.wikidata.listing import read_count, read_list

ENTITY = "http://www.wikidata.org/entity/"
IRIS = [f"{ENTITY}{name}" for name in ("Q1", "Q42", "L7", "P31")] + ["_:b0"]
LISTED: list[dict[str, Any]] = [{"item": {"type": "uri", "value": iri}} for iri in IRIS]


def whole(bindings: object) -> bytes:
    return orjson.dumps({"head": {"vars": ["item"]}, "results": {"bindings": bindings}})


def answer(content: bytes, piece: int = 1 << 20, packed: bool = False) -> Answer:
    class Response(io.BytesIO):
        headers = Message()

        def read1(self, _: int = -1) -> bytes:
            return super().read1(piece)

    if packed:
        Response.headers["Content-Encoding"] = "gzip"
        content = gzip.compress(content)
    return Answer(Response(content), seconds=60, largest=10_000)


@given(st.integers(1, 700), st.booleans())
def test_pieces_of_any_size_make_an_answer(piece: int, packed: bool) -> None:
    content = whole(LISTED)
    assert rows(answer(content, piece, packed)) == LISTED
    found, count = read_list(answer(content, piece, packed))
    assert (found.tolist(), count) == ([1, 42], 5)


@pytest.mark.parametrize("read", [rows, read_list, read_count])
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_ends_too_early_is_none(read: Any, packed: bool) -> None:
    content = whole([{"n": {"value": "5"}}, *LISTED])
    for end in range(len(content)):
        with pytest.raises((FailedError, ijson.JSONError)):
            read(answer(content[:end], packed=packed))


@given(st.binary(max_size=50), st.booleans())
def test_a_page_of_anything_is_no_answer(content: bytes, packed: bool) -> None:
    for read in (rows, read_count):
        with pytest.raises(FailedError):
            read(answer(content, packed=packed))


@pytest.mark.parametrize(
    "bindings", [None, {}, [], [{}], [{"n": {}}], [{"n": {"value": "many"}}], ["n"], [["n"]]]
)
def test_what_counts_nothing_is_no_count(bindings: object) -> None:
    with pytest.raises(FailedError):
        read_count(answer(whole(bindings)))


def test_an_answer_that_was_begun_asks_too_much_and_a_page_of_html_does_not() -> None:
    with pytest.raises(FailedError) as begun:
        rows(answer(whole(LISTED)[:-9]))
    with pytest.raises(FailedError) as html:
        rows(answer(b"<html>"))
    assert (begun.value.too_much, html.value.too_much) == (True, False)
