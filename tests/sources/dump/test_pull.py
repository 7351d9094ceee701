"""Pulls from whole dumps, and from all that is none."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import multiprocessing
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
import zstandard

from bioelx.errors import BioelxError, FileError, SourceError
from bioelx_index.benchmark.entities import as_dump
from bioelx_index.sources.wikidata.dump.pull import Sizes
from bioelx_index.sources.wikidata.folder import Pull, read_items
from bioelx_index.sources.wikidata.selection import Selection

PullFrom = Callable[..., Pull]

ONE_PART = Sizes(block=1 << 17)


def in_pieces(pack: Callable[[bytes], bytes], dump: bytes) -> bytes:
    """Packed by several processes and put together, as pbzip2, pigz -i and pzstd do."""
    size = len(dump) // 5
    return b"".join(pack(dump[start : start + size]) for start in range(0, len(dump), size))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the program does


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "json": lambda dump: dump,
    "lines.json": lambda dump: dump[2:-3].replace(b"},\n", b"}\n"),
    "no-line-end.json": lambda dump: dump[:-1],
    "json.gz": gzip.compress,
    "members.json.gz": lambda dump: in_pieces(gzip.compress, dump),
    "json.bz2": bz2.compress,
    "small-blocks.json.bz2": lambda dump: bz2.compress(dump, 1),
    "streams.json.bz2": lambda dump: in_pieces(bz2.compress, dump),
    "json.zst": zstd,
    "frames.json.zst": lambda dump: b"\x50\x2a\x4d\x18\0\0\0\0" + in_pieces(zstd, dump),
    "misnamed": bz2.compress,
}


def test_all_packings_give_the_same_records(
    dump: bytes, tmp_path: Path, pull_from: PullFrom
) -> None:
    found = {}
    for name, pack in PACKED.items():
        path = tmp_path / f"wikidata-20251103-all.{name}"
        path.write_bytes(pack(dump))
        pull = pull_from(path, folder=tmp_path / name, sizes=ONE_PART)
        found[name] = (pull.sha256, pull.items, pull.notes["entities"], pull.started)
    assert set(found.values()) == {(found["json"][0], 50, 150, datetime(2025, 11, 3, tzinfo=UTC))}
    items = [item for item, _ in read_items(tmp_path / "json" / "records.parquet")]
    assert [item.qid for item in items] == list(range(1000, 1150, 3))
    assert items[1].equivalent == ("mesh:D000003",)


@pytest.mark.parametrize("name", ["json", "json.gz", "json.bz2"])
def test_any_number_of_processes_makes_the_same_parts(
    name: str, dump: bytes, tmp_path: Path, pull_from: PullFrom
) -> None:
    # An end is missing, so that the parts stay.
    path = tmp_path / name
    path.write_bytes(PACKED[name](dump[:-3]))
    parts = []
    for workers in (1, 3):
        folder = tmp_path / f"pull-{workers}"
        with pytest.raises(FileError, match="is cut off"):
            pull_from(path, folder=folder, workers=workers)
        work = folder / "work"
        parts.append({each.name: each.read_bytes() for each in sorted(work.iterdir())})
    assert parts[0] == parts[1]
    assert sum(name.startswith("items-") for name in parts[0]) > 1


def test_sizes_change_nothing(dump: bytes, tmp_path: Path, pull_from: PullFrom) -> None:
    pulls = [
        pull_from(dump, folder=tmp_path / str(number), sizes=sizes)
        for number, sizes in enumerate(
            (Sizes(), Sizes(block=100_000, part=1, items=1), Sizes(block=200_000, items=7))
        )
    ]
    assert len({pull.sha256 for pull in pulls}) == 1
    assert len({json.dumps(pull.notes) for pull in pulls}) == 1


def test_types_come_from_the_classes_in_the_dump(
    lines: list[bytes], tmp_path: Path, pull_from: PullFrom
) -> None:
    more = [
        b'{"type":"item","id":"Q%d","labels":[],"descriptions":[],"aliases":[],"claims":{"P279":['
        b'{"mainsnak":{"snaktype":"value","property":"P279","datavalue":{"value":{"id":"Q%d"}}},'
        b'"rank":"normal"}]},"sitelinks":[]}' % edge
        for edge in ((999, 998), (998, 16521))
    ]
    pull_from(b"".join(as_dump([*lines, *more])))
    types = [types for _, types in read_items(tmp_path / "pull" / "records.parquet")]
    assert types[0] == ("disease", "organism")
    assert types[1] == ("disease",)


def test_trees_take_what_two_passes_find_below_them(
    lines: list[bytes], tmp_path: Path, pull_from: PullFrom
) -> None:
    # Each item with a number of three is a subclass of the one before it, here.
    chained = [
        line.replace(b'"Q%d"' % (999 + number), b'"Q%d"' % (997 + number))
        for number, line in enumerate(lines)
    ]
    dump = b"".join(as_dump(chained[::-1]))
    pull = pull_from(dump, Selection.of(trees=["Q1090"], defaults=False))
    items = [item.qid for item, _ in read_items(tmp_path / "pull" / "records.parquet")]
    assert items == list(range(1090, 1150, 3))
    assert pull.notes["parsed"] < 50


# Malformed lines

MALFORMED = {
    b"{": "no JSON object",
    b'{"type":"item","id":"Q9","labels":{"en"': "no JSON object",
    b"<html>": "no JSON object",
    b"]": "no JSON object",
    b"[": "no JSON object",
    b'"P486":1': "no JSON object",
    b'{"P486":}': "into the line",
    b'{"P486":"\xff"}': "into the line",
    b'{"P486":1}': "not as Wikibase has entities (KeyError: 'id')",
}


def test_malformed_lines_are_told_of_and_skipped(
    lines: list[bytes], said: io.StringIO, pull_from: PullFrom, tmp_path: Path
) -> None:
    where = dict(zip(range(5, 140, 15), MALFORMED, strict=True))
    spoilt = [where.get(number, line) for number, line in enumerate(lines)]
    dump = b"".join(as_dump(spoilt)).replace(b"],\n", b"]\n").replace(b"[,\n", b"[\n")
    pull = pull_from(dump)
    assert pull.notes["malformed"] == len(MALFORMED)
    assert pull.notes["entities"] == 150
    told = pull.notes["malformed_lines"]
    assert [each["line"] for each in told] == [number + 2 for number in where]
    for each, (line, problem) in zip(told, MALFORMED.items(), strict=True):
        assert dump[each["byte"] :].startswith(line)
        assert problem in each["problem"]
        assert f"dump.json:{each['line']}: {each['problem']}" in said.getvalue()
        assert f"at byte {each['byte']:,}" in said.getvalue()
    kept = [item.qid for item, _ in read_items(tmp_path / "pull" / "records.parquet")]
    assert kept == [1000 + n for n in range(0, 150, 3) if n not in where]


def test_too_many_malformed_lines_stop_the_job(
    lines: list[bytes], said: io.StringIO, pull_from: PullFrom, tmp_path: Path
) -> None:
    spoilt = [line if number % 5 else b"{spoilt}"[:-1] for number, line in enumerate(lines)]
    dump = b"".join(as_dump(spoilt))
    with pytest.raises(FileError, match=r"dump\.json:2: \d+ of the first \d+ lines are malformed"):
        pull_from(dump)
    assert said.getvalue().count("no JSON object") <= 20
    # What was read is kept, and will do if more are allowed.
    pull = pull_from(tmp_path / "dump.json", malformed_share=0.5)
    assert "goes on with dump.json" in said.getvalue()
    assert (pull.notes["malformed"], pull.items) == (30, 40)
    assert len(pull.notes["malformed_lines"]) == 20


# What is cut off, damaged, or no dump


@pytest.mark.parametrize(
    "name", ["json", "json.gz", "small-blocks.json.bz2", "json.zst", "lines.json"]
)
def test_a_cut_dump_goes_on_when_the_rest_has_come(
    name: str, dump: bytes, tmp_path: Path, pull_from: PullFrom, said: io.StringIO
) -> None:
    path = tmp_path / name
    packed = PACKED[name](dump)
    path.write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(FileError, match="is cut off"):
        pull_from(path)
    assert not (tmp_path / "pull" / "pull.json").exists()
    with pytest.raises(FileError, match="is cut off"):
        pull_from(path)  # still
    path.write_bytes(packed)
    pull = pull_from(path)
    assert f"goes on with {name} at" in said.getvalue()
    assert (pull.items, pull.notes["entities"]) == (50, 150)
    whole = pull_from(dump, folder=tmp_path / "whole")
    assert pull.sha256 == whole.sha256


def test_a_dump_that_changed_is_another_one(
    dump: bytes, tmp_path: Path, pull_from: PullFrom
) -> None:
    path = tmp_path / "dump.json"
    with pytest.raises(FileError, match="is cut off"):
        pull_from(dump[:-3])
    for other in (dump[:-50_000], dump[:-60_000] + dump[-50_000:], dump[:-9] + b"x" + dump[-8:]):
        path.write_bytes(other)
        with pytest.raises(FileError, match="has changed since this pull began"):
            pull_from(path)
    path.write_bytes(b"[\n" + dump[2:].replace(b"thing", b"other"))
    with pytest.raises(SourceError, match="holds another pull"):
        pull_from(path)


@pytest.mark.parametrize("name", ["json.gz", "json.bz2", "json.zst"])
def test_damage_is_told_of(name: str, dump: bytes, tmp_path: Path, pull_from: PullFrom) -> None:
    path = tmp_path / name
    packed = bytearray(PACKED[name](dump))
    middle = len(packed) // 2
    packed[middle : middle + 20] = bytes(20)
    path.write_bytes(packed)
    with pytest.raises(FileError, match=rf"{name}: the \.{path.suffix[1:]} file is damaged"):
        pull_from(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a dump: neither JSON"),
        (b"<!DOCTYPE html>", "not a dump: neither JSON"),
        (lzma.compress(b"[\n]\n"), "not a dump: neither JSON"),
        (b"[\n]\n", "there is no entity in it"),
        (gzip.compress(b""), "there is no entity in it"),
        (b"[" + b'{"id":"Q1"},' * 20_000 + b"{}]", "not a dump with an entity a line"),
        (gzip.compress(b"[" + b'{"id":"Q1"},' * 20_000), "not a dump with an entity a line"),
        (json.dumps([{"id": "Q1", "labels": {}}] * 9, indent=1).encode(), "lines are malformed"),
    ],
)
def test_what_is_no_dump_is_refused(content: bytes, problem: str, pull_from: PullFrom) -> None:
    with pytest.raises(FileError, match=problem):
        pull_from(content)


def test_no_such_file(tmp_path: Path, pull_from: PullFrom) -> None:
    with pytest.raises(FileError, match="No such file"):
        pull_from(tmp_path / "dump.json.bz2")
    with pytest.raises(FileError, match="Is a directory"):
        pull_from(tmp_path)


def test_a_line_may_be_very_long(lines: list[bytes], pull_from: PullFrom, tmp_path: Path) -> None:
    text = "Ü" * 4_000_000
    long = lines[0].replace(b'"thing 0"', json.dumps(text).encode())
    assert len(long) > 20_000_000
    pull_from(b"".join(as_dump([lines[1], long, *lines[2:]])), sizes=Sizes(block=1 << 25))
    item, _ = next(read_items(tmp_path / "pull" / "records.parquet"))
    assert text in {name.text for name in item.names}


@pytest.mark.parametrize(
    ("name", "told", "started"),
    [
        ("latest-all.json", None, datetime(2025, 9, 24, 12, tzinfo=UTC)),
        ("20251103.json", None, datetime(2025, 11, 3, tzinfo=UTC)),
        ("wikidata-20259999-all.json", None, datetime(2025, 9, 24, 12, tzinfo=UTC)),
        ("20251103.json", datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_pull_starts_when_the_dump_was_begun(
    name: str,
    told: datetime | None,
    started: datetime,
    dump: bytes,
    tmp_path: Path,
    pull_from: PullFrom,
) -> None:
    path = tmp_path / name
    path.write_bytes(dump)
    assert pull_from(path, dumped=told).started == started


def test_a_process_that_dies_is_told_of(dump: bytes, pull_from: PullFrom) -> None:
    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        children[0].kill()

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(BioelxError, match="a process that scans the dump has died"):
        pull_from(dump, workers=2)
    killer.join()
    assert not multiprocessing.active_children()
    assert pull_from(dump, workers=2).items == 50
