"""bzip2 from any block on."""

from __future__ import annotations

import bz2
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bioelx.errors import FileError
from bioelx_index.sources.wikidata.dump import bzip2
from bioelx_index.sources.wikidata.dump.bzip2 import START, Bzip2, Place

CHANCE = random.Random(7)
CONTENT = b"".join(b"%d;" % CHANCE.getrandbits(number % 60) for number in range(100_000))


def unpacked(path: Path, place: Place = START, size: int = 70_000) -> Iterator[tuple[bytes, Place]]:
    """What comes piece by piece, each with the place from where to go on."""
    stream, offset = Bzip2(path, 2, place), place.offset
    buffer = memoryview(bytearray(size))
    try:
        while count := stream.readinto(buffer):
            offset += count
            yield bytes(buffer[:count]), stream.place(offset)
            assert stream.packed() <= path.stat().st_size
    finally:
        stream.close()


@pytest.fixture(params=["one stream", "streams"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    size = len(CONTENT) if request.param == "one stream" else 250_000
    pieces = (CONTENT[start : start + size] for start in range(0, len(CONTENT), size))
    file = tmp_path / "some.bz2"
    file.write_bytes(b"".join(bz2.compress(piece, 1) for piece in pieces))
    return file


def test_it_goes_on_from_any_place(path: Path) -> None:
    assert b"".join(piece for piece, _ in unpacked(path)) == CONTENT
    places = {place for _, place in unpacked(path)}
    assert len(places) >= 10
    for place in places:
        assert b"".join(piece for piece, _ in unpacked(path, place)) == CONTENT[place.offset :]


def test_nothing_is_unpacked_twice_but_for_a_block(path: Path) -> None:
    offset = 0
    for piece, place in unpacked(path):
        offset += len(piece)
        assert 0 <= offset - place.offset <= 100_000


@pytest.mark.parametrize(("cut", "least"), [(100, 0), (400_000, 700_000), (-20, 800_000)])
def test_a_cut_file_is_told_of(path: Path, cut: int, least: int) -> None:
    path.write_bytes(path.read_bytes()[:cut])
    got: list[bytes] = []
    with pytest.raises(FileError, match="is cut off"):
        got.extend(piece for piece, _ in unpacked(path))
    assert CONTENT.startswith(b"".join(got))
    assert sum(map(len, got)) >= least


def test_damage_is_told_of(path: Path) -> None:
    packed = bytearray(path.read_bytes())
    packed[150_000] ^= 1
    path.write_bytes(packed)
    with pytest.raises(FileError, match=r"is damaged at byte \d+"):
        list(unpacked(path))


def test_a_block_with_the_sign_of_another_one_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = bzip2._blocks

    def blocks(*args: object) -> Iterator[bzip2._Packed]:
        for number, block in enumerate(find(*args)):
            if number % 3:
                yield block
                continue
            middle = (block.start + block.end) // 2 + 3
            first, second = middle // 8 - block.start // 8, -(-middle // 8) - block.start // 8
            yield bzip2._Packed(block.start, middle, block.content[:second])
            yield bzip2._Packed(middle, block.end, block.content[first:])

    monkeypatch.setattr(bzip2, "_blocks", blocks)
    assert b"".join(piece for piece, _ in unpacked(path)) == CONTENT
