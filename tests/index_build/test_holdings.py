"""What the cache holds, and what may go."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bioelx.cli.app import app
from bioelx.errors import BioelxError
from bioelx.release import read_manifest
from bioelx_index.holdings import Holding, holdings, prune, tidy
from bioelx_index.kept import Kept, in_use
from bioelx_index.places import Places
from bioelx_index.vector_store import VectorStore, keys_of


@pytest.fixture
def places(tmp_path: Path, tiny_release: Path) -> Places:
    """A home with one release, and a cache of which not all is needed."""
    places = Places(tmp_path)
    shutil.copytree(tiny_release, places.releases / tiny_release.name)
    for fingerprint in (read_manifest(tiny_release).encoder.fingerprint, "another"):
        with VectorStore(places.cache / "vectors" / fingerprint, 2) as store:
            store.append(keys_of(["a", "b"]), np.zeros((2, 2), np.float16))
    (places.cache / "vectors" / "another" / "texts.bin").write_bytes(b"of old")
    (places.cache / "pulls" / "inhand").mkdir(parents=True)
    (places.cache / "pulls" / "aside-20200101T000000Z-00000000").mkdir()
    for number in range(4):
        with Kept(places.cache).result("index", number) as result:
            (result.folder / "index.faiss").write_bytes(b"x" * 1000)
            result.keep()
    return places


def count(held: list[Holding]) -> dict[tuple[str, bool], int]:
    found = [(each.kind, each.needed) for each in held]
    return {each: found.count(each) for each in found}


def test_only_what_no_build_can_use_goes(places: Places, tiny_release: Path) -> None:
    assert count(holdings(places)) == {
        ("vectors", True): 1,
        ("vectors", False): 2,
        ("pull", True): 1,
        ("pull", False): 1,
        ("index", True): 2,
        ("index", False): 2,
    }
    tidy(places)
    assert count(holdings(places)) == {
        ("vectors", True): 1,
        ("vectors", False): 2,
        ("pull", True): 1,
        ("index", True): 2,
    }
    assert len(prune(places)) == 2
    left = holdings(places)
    assert all(each.needed for each in left)
    [vectors] = [each for each in left if each.kind == "vectors"]
    name = read_manifest(tiny_release).encoder.name
    assert vectors.note == f"2 names, {name}"
    assert vectors.bytes == 48 + 2 * (16 + 2 * 2)


def test_nothing_goes_while_a_build_is_at_work(places: Places) -> None:
    before = holdings(places)
    with in_use(places.cache):
        with pytest.raises(BioelxError, match="a build is at work"):
            prune(places)
        tidy(places)
    assert holdings(places) == before


def test_the_command_shows_and_removes(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOELX_HOME", str(places.home))
    before = holdings(places)
    shown = CliRunner().invoke(app, ["cache", "show"]).stdout
    assert all(each.name in shown for each in before)
    assert "would go" in CliRunner().invoke(app, ["cache", "prune", "--dry-run"]).stdout
    assert holdings(places) == before
    assert "are gone" in CliRunner().invoke(app, ["cache", "prune"]).stdout
    assert holdings(places) == [each for each in before if each.needed]


def test_a_damaged_result_is_made_again_and_an_unfinished_one_goes_on(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with kept.result("index", "recipe") as result:
        (result.folder / "begun").write_text("half")
    with kept.result("index", "recipe") as result:
        assert not result.whole
        assert (result.folder / "begun").read_text() == "half"
        result.keep()
    with kept.result("index", "recipe") as result:
        assert result.whole
        (result.folder / "begun").write_text("half, and a bit")
    with kept.result("index", "recipe") as result:
        assert not result.whole
        assert not (result.folder / "begun").exists()
    with kept.result("index", "another") as result:
        assert not result.whole
