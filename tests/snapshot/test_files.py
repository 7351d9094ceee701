"""The shipped files are those that the catalogue declares, and all that it declares is there."""

from __future__ import annotations

import lzma
import tomllib
from pathlib import Path

import pytest

from bioelx_index.snapshot.catalogue import SOURCES
from bioelx_index.snapshot.xz import read_xz, write_xz
from bioelx_index.sources.config import read_sources

DATA = Path(__file__).resolve().parents[2] / "data"
PAPERS = {"README.md", "LICENSES.md", "sources.toml", "regression.jsonl"}


def test_every_declared_file_is_there_with_its_checksum() -> None:
    declared = read_sources(DATA)
    assert [source.name for source in declared] == [source.name for source in SOURCES]
    written = tomllib.loads((DATA / "sources.toml").read_text(encoding="utf-8"))["source"]
    assert all(set(entry["sha256"]) == set(entry["files"]) for entry in written)


def test_every_file_is_declared_and_all_weigh_at_most_40_mb() -> None:
    shipped = {
        path.relative_to(DATA).as_posix()
        for path in DATA.rglob("*")
        if path.is_file() and "quickstart" not in path.parts
    }
    assert shipped - PAPERS == {name for source in SOURCES for name in source.files}
    assert sum((DATA / name).stat().st_size for name in shipped) <= 40_000_000


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_papers_speak_of_every_source(source) -> None:
    licences = (DATA / "LICENSES.md").read_text(encoding="utf-8")
    assert source.licence in licences
    assert source.attribution in licences
    assert source.notice in licences
    assert f"| {source.name} |" in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_slice_is_sorted_and_holds_each_statement_once() -> None:
    lines = read_xz(DATA / "wikidata/slice.nt.xz").splitlines()
    assert lines == sorted(set(lines))
    assert not any("\ufffd".encode() in line for line in lines)


def test_nothing_derived_stands_among_wikidata_s_own_statements() -> None:
    slice_ = read_xz(DATA / "wikidata/slice.nt.xz")
    derived = read_xz(DATA / "derived/wikidata_classes.nt.xz").splitlines()
    own = set(slice_.splitlines())
    assert derived
    assert not own.intersection(derived)


def test_an_xz_file_is_written_once_and_mended_if_broken(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.xz"
    write_xz(path, b"some bytes")
    before = path.read_bytes(), path.stat().st_mtime_ns
    write_xz(path, b"some bytes")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    path.write_bytes(before[0][:-4])
    write_xz(path, b"some bytes")
    assert lzma.decompress(path.read_bytes()) == b"some bytes"
    assert path.read_bytes() == before[0]
