"""Releases: finished in one step, verified, activated, rolled back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError, NotFoundError
from bioelx.release import (
    EncoderStamp,
    IndexStamp,
    Manifest,
    activate,
    active_release,
    find_release,
    list_releases,
    read_manifest,
    roll_back,
    verify_release,
)
from bioelx.release.store import finish_release


def make(root: Path, minutes: int = 0) -> str:
    draft = root / ".draft"
    (draft / "encoder").mkdir(parents=True)
    (draft / "names.arrow").write_bytes(bytes(range(200)))
    (draft / "encoder" / "encoder.json").write_text(f"{{}} {minutes}")
    manifest = Manifest(
        id="",
        created=datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=minutes),
        parent=None,
        sources=(),
        encoder=EncoderStamp("e", "f", 3),
        index=IndexStamp("Flat", 1, 1.0),
        concepts=1,
        names=1,
    )
    return finish_release(draft, manifest, root).id


def test_a_finished_release_verifies_and_has_its_final_name(tmp_path: Path) -> None:
    release = make(tmp_path)
    assert release.startswith("20261123T000000Z-")
    assert list_releases(tmp_path) == [release]
    assert set(verify_release(tmp_path / release).files) == {"encoder/encoder.json", "names.arrow"}
    assert not (tmp_path / ".draft").exists()


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_one_changed_byte_is_found_and_its_file_named(tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "flip"
    release = root / (list_releases(root)[0] if list_releases(root) else make(root))
    name = data.draw(st.sampled_from(sorted(read_manifest(release).files)))
    path = release / name
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[position] ^ data.draw(st.integers(1, 255))
    path.write_bytes(whole[:position] + bytes([changed]) + whole[position + 1 :])
    try:
        with pytest.raises(FileError, match=name):
            verify_release(release)
    finally:
        path.write_bytes(whole)


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
