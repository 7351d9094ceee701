"""Releases: finished in one step, verified, activated, rolled back."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import sleep

import orjson
import pytest

from bioelx.errors import FileError, NotFoundError
from bioelx.release import (
    activate,
    active_release,
    find_release,
    list_releases,
    previous_release,
    read_manifest,
    roll_back,
    verify_release,
)
from bioelx.release.pieces import bytes_freed, bytes_on_disk

from .small import make


def test_a_finished_release_verifies_and_has_its_final_name(tmp_path: Path) -> None:
    release = make(tmp_path)
    assert release.startswith("20261123T000000Z-")
    assert list_releases(tmp_path) == [release]
    assert set(verify_release(tmp_path / release).files) == {"encoder/encoder.json", "names.arrow"}
    assert not list(tmp_path.glob(".draft-*"))


def test_activation_and_the_way_back(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path, minutes=1)
    with pytest.raises(NotFoundError, match="bioelx build"):
        find_release(root=tmp_path)
    activate(first, tmp_path)
    with pytest.raises(NotFoundError, match="no earlier release"):
        roll_back(tmp_path)
    activate(second, tmp_path)
    assert find_release(root=tmp_path).name == second
    assert roll_back(tmp_path) == first
    assert active_release(tmp_path) == first
    assert roll_back(tmp_path) == second
    assert previous_release(tmp_path) == first
    activate(second, tmp_path)  # as it is already
    assert previous_release(tmp_path) == first


def test_a_release_keeps_its_name(tmp_path: Path) -> None:
    release = make(tmp_path)
    renamed = (tmp_path / release).rename(tmp_path / "20261123T000000Z-other")
    with pytest.raises(FileError, match=f"other: holds {release}"):
        activate(renamed.name, tmp_path)


def test_what_two_releases_hold_is_stored_once_and_is_a_plain_folder_to_copy(
    tmp_path: Path,
) -> None:
    root = tmp_path / "releases"
    first, second = (root / make(root, minutes) for minutes in (0, 1))
    assert (first / "names.arrow").samefile(second / "names.arrow")
    assert not (first / "encoder/encoder.json").samefile(second / "encoder/encoder.json")
    manifests = [(each / "manifest.json").stat().st_size for each in (first, second)]
    assert bytes_freed([first], root) == 4 + manifests[0]
    assert bytes_on_disk([first, second]) == 200 + 2 * 4 + sum(manifests)
    assert bytes_freed([first, second], root) == bytes_on_disk([first, second])
    copied = Path(shutil.copytree(first, tmp_path / "elsewhere" / first.name))
    assert verify_release(copied) == verify_release(first)
    activate(copied.name, copied.parent)
    assert find_release(root=copied.parent) == copied


def test_a_damaged_piece_is_not_passed_on(tmp_path: Path) -> None:
    damaged = tmp_path / make(tmp_path) / "names.arrow"
    damaged.write_bytes(bytes(200))
    verify_release(tmp_path / make(tmp_path, minutes=1))
    verify_release(tmp_path / make(tmp_path, minutes=2))
    with pytest.raises(FileError, match=r"names\.arrow"):
        verify_release(damaged.parent)


def test_without_hard_links_each_release_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", not_here)
    first, second = (tmp_path / make(tmp_path, minutes) for minutes in (0, 1))
    assert not (first / "names.arrow").samefile(second / "names.arrow")
    assert verify_release(first).files.keys() == verify_release(second).files.keys()
    assert list((tmp_path / ".pieces").iterdir()) == []


def test_many_switch_at_once(tmp_path: Path) -> None:
    """What stands at the end is what one of them wanted, whole, and the way back leads to
    another."""
    releases = [make(tmp_path, minutes) for minutes in range(3)]
    program = "import sys; from pathlib import Path; from bioelx.release import activate, roll_back"
    program += "\nfor _ in range(8): activate(sys.argv[2], Path(sys.argv[1]))"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), release],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for release in releases
    ]
    while any(process.poll() is None for process in running):
        assert active_release(tmp_path) in {None, *releases}
        sleep(0.01)
    assert [process.returncode for process in running] == [0] * 3
    assert {active_release(tmp_path), previous_release(tmp_path)} <= set(releases)
    assert len((tmp_path / "previous").read_text().split()) == 2


def test_a_release_is_activated_by_its_folder_too(tmp_path: Path) -> None:
    root = tmp_path / "releases"
    release = make(root)
    activate(str(root / release), root)
    assert active_release(root) == release
    elsewhere = (root / release).rename(tmp_path / release)
    with pytest.raises(NotFoundError, match="copy it there first"):
        activate(str(elsewhere), root)


def test_a_release_without_its_manifest_is_named(tmp_path: Path) -> None:
    release = make(tmp_path)
    (tmp_path / release / "manifest.json").unlink()
    with pytest.raises(FileError, match=rf"{release}/manifest\.json: no such file"):
        activate(release, tmp_path)


def test_an_unknown_release_lists_the_known_ones(tmp_path: Path) -> None:
    release = make(tmp_path)
    with pytest.raises(NotFoundError, match=release):
        find_release("20200101T000000Z-00000000", tmp_path)


def test_a_broken_release_is_not_activated(tmp_path: Path) -> None:
    good, bad = make(tmp_path), make(tmp_path, minutes=1)
    activate(good, tmp_path)
    (tmp_path / bad / "names.arrow").write_bytes(b"short")
    with pytest.raises(FileError, match=r"names\.arrow"):
        activate(bad, tmp_path)
    assert active_release(tmp_path) == good


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"encoder": {"name": "e"}}, "encoder.fingerprint"),
        ({"concepts": "many"}, "concepts"),
    ],
)
def test_a_manifest_that_does_not_fit_names_the_field(
    tmp_path: Path, change: dict, message: str
) -> None:
    path = tmp_path / make(tmp_path) / "manifest.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    with pytest.raises(FileError, match=message):
        read_manifest(path.parent)


def test_a_manifest_that_is_missing_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / make(tmp_path) / "manifest.json"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(FileError, match=r"manifest\.json: not a manifest"):
        read_manifest(path.parent)
    path.unlink()
    with pytest.raises(FileError, match=r"manifest\.json: no such file"):
        read_manifest(path.parent)


def test_equal_releases_of_the_same_second_do_not_collide(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    assert first != second
    assert list_releases(tmp_path) == sorted([first, second])
    assert read_manifest(tmp_path / first).files == read_manifest(tmp_path / second).files
