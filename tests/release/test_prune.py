"""Pruning: what stays, what goes, and what the disk gets back."""

from pathlib import Path

import pytest

from bioelx.errors import BioelxError
from bioelx.release import activate, draft_folder, list_releases, prune, verify_release
from bioelx.release.pieces import bytes_on_disk

from .small import make


def test_the_active_one_the_one_before_and_the_newest_stay(tmp_path: Path) -> None:
    releases = [make(tmp_path, minutes) for minutes in range(6)]
    activate(releases[1], tmp_path)
    activate(releases[0], tmp_path)
    said = prune(tmp_path, keep=2, dry_run=True)
    assert said.kept == (releases[0], releases[1], releases[4], releases[5])
    assert said.removed == (releases[2], releases[3])
    assert list_releases(tmp_path) == releases

    before = bytes_on_disk([tmp_path])
    assert prune(tmp_path, keep=2) == said
    assert before - bytes_on_disk([tmp_path]) == said.bytes
    assert list_releases(tmp_path) == list(said.kept)
    for release in said.kept:
        verify_release(tmp_path / release)
    nothing = prune(tmp_path, keep=2)
    assert (nothing.removed, nothing.bytes) == ((), 0)


def test_a_living_draft_stays_and_a_dead_one_goes(tmp_path: Path) -> None:
    make(tmp_path)
    dead = tmp_path / ".draft-of-old"
    (dead / "release").mkdir(parents=True)
    (dead / "release" / "names.arrow").write_bytes(bytes(1000))
    with draft_folder(tmp_path) as draft:
        said = prune(tmp_path, keep=0, dry_run=True)
        assert (said.drafts, len(said.removed)) == (1, 1)
        assert dead.exists()
        assert prune(tmp_path, keep=0).bytes > 1000
        assert draft.exists()
        assert not dead.exists()
    assert list_releases(tmp_path) == []
    assert list((tmp_path / ".pieces").iterdir()) == []


def test_where_there_are_no_releases_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(BioelxError, match="no releases in"):
        prune(tmp_path / "releases")
    assert not (tmp_path / "releases").exists()
