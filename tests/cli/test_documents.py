from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.cli.documents import InputFormat, Problems, parse_json, parse_marked, read_documents
from bioelx.errors import FileError


def mentions(document) -> list[str]:
    return [document.text[m.start : m.end] for m in document.mentions]


@pytest.mark.parametrize(
    ("line", "text", "found"),
    [
        ("nach [[Herzinfarkt]] 2019\n", "nach Herzinfarkt 2019", ["Herzinfarkt"]),
        ("[[독감]][[🫀]]", "독감🫀", ["독감", "🫀"]),
        (r"\[[kein]] Mal, [[ein \]] Mal]]", "[[kein]] Mal, ein ]] Mal", None),
        (r"\[\[kein\]\] [[ein\\]]", r"[[kein]] ein" + "\\", ["ein\\"]),
        ("IL[1] und [2]", "IL[1] und [2]", []),
        ("whole line", "whole line", []),
    ],
)
def test_marked_text(line, text, found):
    if found is None:  # a lone ]] is a mark without a partner: it has to be escaped as well
        with pytest.raises(ValueError, match="has no partner"):
            parse_marked(line.encode())
        return
    document = parse_marked(line.encode())
    assert document.text == text
    assert mentions(document) == found


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"))


@given(st.lists(st.tuples(PLAIN, st.booleans())))
def test_escaped_text_survives(parts):
    def escape(text):
        return "".join(f"\\{c}" if c in "[]\\" else c for c in text)

    line = "".join(f"[[{escape(t)}]]" if marked else escape(t) for t, marked in parts)
    document = parse_marked(line.encode())
    assert document.text == "".join(text for text, _ in parts)
    assert mentions(document) == [text for text, marked in parts if marked]


@pytest.mark.parametrize(
    ("line", "problem"),
    [(b"a [[b [[c]]", "no partner"), (b"a [[b", "not closed"), (b"a \xff", r"not UTF-8 \(byte 3")],
)
def test_bad_marks(line, problem):
    with pytest.raises(ValueError, match=problem):
        parse_marked(line)


def test_json_lines():
    full = parse_json(
        '{"id": 7, "text": "병 flu", "language": "ko", "gold": 1,'
        ' "mentions": [{"id": "m", "start": 2, "end": 5}]}'.encode()
    )
    assert (full.id, full.language, mentions(full)) == ("7", "ko", ["flu"])
    short = parse_json(b'{"text": "flu wart", "start": 4, "end": 8, "mention": "wart"}')
    assert mentions(short) == ["wart"]
    bare = parse_json(b'{"mention": "wart", "language": null}')
    assert (bare.text, list(bare.mentions)) == ("wart", [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{\n", r"Invalid JSON: .* at column 1$"),
        (b"[1]", "object"),
        (b"{}", "neither text nor mention"),
        (b'{"text": "a\xff"}', "Invalid JSON"),
        (rb'{"text": "\ud83e"}', "Invalid JSON"),
        (b'{"text": 5.5}', "text"),
        (b'{"text": "a", "mentions": [{"start": -1, "end": 1}]}', r"mentions\.0\.start"),
        (b'{"text": "a", "mentions": [{"start": 0}]}', r"mentions\.0\.end"),
        (b'{"text": "a", "mentions": [{"start": 0, "end": 99999999999999999999}]}', "end"),
        (b'{"text": "a", "start": 0}', "start and end"),
        (b'{"mention": "a", "start": 0, "end": 1}', "start and end"),
    ],
)
def test_bad_json_lines(line, problem):
    with pytest.raises(ValueError, match=problem):
        parse_json(line)


LINES = [b'\xef\xbb\xbf{"mention": "flu"}\n', b"\n", b"{nonsense\n", b'{"mention": "wart"}']


def test_a_bad_line_is_reported_by_number_and_the_others_are_read(capsys):
    problems = Problems("in.jsonl", strict=False)
    entries = list(read_documents(LINES, InputFormat.JSONL, "en", problems))
    assert [(e.line, e.document.text, e.document.language) for e in entries] == [
        (1, "flu", "en"),
        (4, "wart", "en"),
    ]
    assert problems.count == 1
    told = capsys.readouterr().err
    assert told.startswith("bioelx: in.jsonl:3: Invalid JSON")
    assert "nonsense" not in told


def test_strict_stops_at_the_first():
    problems = Problems("in.jsonl", strict=True)
    with pytest.raises(FileError, match=r"in\.jsonl:3"):
        list(read_documents(LINES, InputFormat.JSONL, "", problems))
