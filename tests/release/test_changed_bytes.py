"""One changed byte in any file of a release: refused, with the file's name."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.linker import Linker
from bioelx.release import activate, active_release, read_manifest, verify_release
from bioelx.release.manifest import MANIFEST_FILE

from .small import make

SHARED = [HealthCheck.function_scoped_fixture]
POSITIONS = st.floats(0, 1, exclude_max=True)
CHANGES = st.integers(1, 255)


@contextmanager
def changed(path: Path, position: float, change: int) -> Iterator[None]:
    """Changes a byte of a file that another release may hold too: of this name's bytes only."""
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[int(position * len(whole))] ^= change
    kept = path.rename(path.with_name("kept"))
    path.write_bytes(spoilt)
    try:
        yield
    finally:
        kept.replace(path)


@settings(suppress_health_check=SHARED, max_examples=200)
@given(place=st.integers(0, 2), position=POSITIONS, change=CHANGES)
def test_any_byte_of_any_file(tmp_path: Path, place: int, position: float, change: int) -> None:
    root = tmp_path / "releases"
    release = next(root.glob("[0-9]*"), None) or root / make(root)
    name = ["encoder/encoder.json", MANIFEST_FILE, "names.arrow"][place]
    whole = read_manifest(release)
    with changed(release / name, position, change):
        said = refused = None
        try:
            said = verify_release(release)
        except FileError as error:
            refused = error.path
        if refused is None:  # a line's end for a blank: what the manifest says is the same
            assert (name, said) == (MANIFEST_FILE, whole)
            return
        assert refused == release / name
        with pytest.raises(FileError, match=name):
            activate(release.name, root)
        assert active_release(root) is None


def test_every_byte_of_a_manifest(tmp_path: Path) -> None:
    release = tmp_path / make(tmp_path)
    whole, content = read_manifest(release), (release / MANIFEST_FILE).read_bytes()
    harmless = set()
    for position in range(len(content)):
        spoilt = bytearray(content)
        spoilt[position] ^= (1, 0x20, 0x2A)[position % 3]  # 0x2A makes a line's end of a blank
        (release / MANIFEST_FILE).write_bytes(spoilt)
        refused = None
        try:
            said = read_manifest(release)
        except FileError as error:
            refused = error.path
        if refused is None:
            assert said == whole
            harmless.add(content[position])
        else:
            assert refused == release / MANIFEST_FILE
    assert harmless <= set(b" \n")


@pytest.fixture(scope="module")
def real(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a real release that may be spoilt."""
    folder = tmp_path_factory.mktemp("spoilt") / tiny_release.name
    return Path(shutil.copytree(tiny_release, folder, copy_function=os.link))


@settings(suppress_health_check=SHARED, max_examples=25)
@given(place=st.integers(0), position=POSITIONS, change=CHANGES)
@example(place=0, position=0.0, change=1)
def test_any_byte_of_a_real_release(real: Path, place: int, position: float, change: int) -> None:
    files = sorted(read_manifest(real).files)
    assert "encoder/model.onnx" in files
    name = files[place % len(files)]
    with changed(real / name, position, change), pytest.raises(FileError, match=name):
        Linker.open(real)
