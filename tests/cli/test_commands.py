"""The commands as a user starts them, in one process and against a server."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice

import orjson
import pytest
from typer.testing import CliRunner, Result

from bioelx.cli.app import COMMANDS, app

Run = Callable[..., Result]


@pytest.fixture(params=["in this process", "on a server"])
def run(request, tiny_home, monkeypatch) -> Run:
    monkeypatch.setenv("BIOELX_HOME", str(tiny_home))
    if request.param == "on a server":
        monkeypatch.setenv("BIOELX_SERVER", request.getfixturevalue("server").address)

    def start(*arguments: str, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return start


def objects(result: Result) -> list[dict]:
    return [orjson.loads(line) for line in result.stdout.splitlines()]


def test_link_json_lines(run, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b'{"id": "a", "text": "flu, wart", "mentions": [{"id": "1", "start": 0, "end": 3},'
        b' {"id": "2", "start": 5, "end": 9}]}\n'
        b"not json\n"
        b'{"id": "a", "text": "flu", "mentions": [{"id": "3", "start": 0, "end": 9}]}\n'
        b'{"id": "b", "mention": ""}\n'
        b'{"id": "c", "mention": "leprosy", "language": "en"}\n'
    )
    result = run("link", str(path), "--top-k", "2", "--scheme", "umls")
    first, bad_mention, bad_document, last = objects(result)
    assert (first["id"], first["line"]) == ("a", 1)
    assert [(link["id"], link["mention"]) for link in first["links"]] == [
        ("1", "flu"),
        ("2", "wart"),
    ]
    assert first["links"][1]["candidates"][0]["concept_id"] == "wikidata:Q101971"
    assert first["links"][1]["candidates"][0]["xrefs"] == ["umls:C3665596"]
    assert len(first["links"][0]["candidates"]) == 2
    assert bad_mention["links"][0]["error"]["field"] == "mentions[0].end"
    assert bad_document["error"]["field"] == "text"
    assert last["links"][0]["concept_id"] == "wikidata:Q36956"
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in told[:3]] == [f"{path}:{n}" for n in (2, 3, 4)]
    assert told[-1] == "bioelx: 3 lines or mentions were not linked"


def test_link_marked_text_from_standard_input_as_a_table(run):
    result = run(
        "link", "--format", "text", "--language", "de", "--output", "table",
        stdin=b"Nach [[Influenza]], \\[[x\\]] \x1b[2J.\n[[Lepra]]\n",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    header, influenza, lepra = result.stdout.splitlines()
    assert header.split()[:2] == ["mention", "concept"]
    assert influenza.split()[0] == "Influenza"
    assert lepra.split()[:2] == ["Lepra", "wikidata:Q36956"]


def test_a_confidence_says_what_it_is_made_of(run):
    mention = b'{"mention": "Lepra", "language": "de"}\n'
    (explained,) = objects(run("link", "--explain", "--top-k", "2", stdin=mention))
    (candidate, _) = explained["links"][0]["candidates"]
    assert candidate["matched"]["exact"]
    log_odds = sum(share["log_odds"] for share in candidate["shares"])
    assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(candidate["probability"], abs=1e-8)
    (silent,) = objects(run("link", "--top-k", "2", stdin=mention))
    assert "shares" not in silent["links"][0]["candidates"][0]
    lines = run("link", "--explain", "--output", "table", stdin=mention).stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        share["feature"] for share in candidate["shares"]
    ]
    found = objects(run("search", "Lepra", "--explain", "--top-k", "2"))
    assert [each["shares"][0]["feature"] for each in found] == ["base", "base"]


def test_many_lines_keep_their_order(run):
    lines = b"".join(b'{"id": "%d", "mention": "flu %d"}\n' % (i, i % 7) for i in range(300))
    result = run("link", "--top-k", "1", stdin=lines)
    assert result.exit_code == 0, result.stderr
    assert [each["id"] for each in objects(result)] == [str(i) for i in range(300)]


def test_search_concept_info(run, tiny_release):
    found = objects(run("search", "Lepra", "--language", "de", "--top-k", "3"))
    assert [len(found), found[0]["concept_id"]] == [3, "wikidata:Q36956"]
    table = run("search", "Lepra", "--output", "table").stdout
    assert "wikidata:Q36956" in table
    (concept,) = objects(run("concept", "wikidata:Q36956"))
    assert concept["concept"]["label"] == "leprosy"
    assert "leprosy" in run("concept", "wikidata:Q36956", "--output", "table").stdout
    (info,) = objects(run("info"))
    assert info["release"] == tiny_release.name
    shown = run("info", "--output", "table").stdout
    assert tiny_release.name in shown
    assert "241 concepts" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"bioelx {command}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["concept", "wikidata:Q1"], "no concept has that id or xref"),
        (["search", "flu", "--type", "illness"], "options.types[0]: unknown type"),
        (["search", "flu", "--release", "20200101T000000Z-00000000"], "20200101T000000Z-00000000"),
        (["search", "flu", "--server", "localhost:1"], "UNAVAILABLE"),
        (["search", "flu", "--top-k", "9" * 20], "options.top_k: must be at least 1"),
        (["link", "/no/such/file.jsonl"], "/no/such/file.jsonl: No such file"),
    ],
)
def test_an_error_is_one_line(tiny_home, arguments, told):
    done = subprocess.run(
        [sys.executable, "-m", "bioelx", *arguments],
        env={**os.environ, "BIOELX_HOME": str(tiny_home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("bioelx: ")
    assert told in line


@pytest.mark.parametrize("command", ["search", "concept"])
def test_an_argument_that_is_not_utf8_is_wrong_use(command):
    result = CliRunner().invoke(app, [command, b"fl\xff".decode(errors="surrogateescape")])
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


def test_memory_does_not_grow_with_the_input():
    """Batches are made and answered one after the other, never all read first."""
    from bioelx.cli.documents import InputFormat, Problems, read_documents
    from bioelx.cli.link import _batches, _in_order
    from bioelx.v1 import linker_pb2 as pb

    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield b'{"mention": "flu"}'

    limits = pb.Limits(max_documents=256, max_mentions=4096, max_document_chars=100)
    problems = Problems("endless", strict=True)
    entries = read_documents(endless(), InputFormat.JSONL, "", problems)
    answered = _in_order(len, _batches(entries, limits, problems), ahead=3)
    assert [size for _, size in islice(answered, 50)] == [64] * 50
    assert read <= 64 * 56


def test_the_version_is_that_of_the_package():
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout.strip()) == (0, version("bioelx"))
