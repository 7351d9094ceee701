"""The wheel alone, outside the checkout: it builds, serves and links."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bioelx.client import Client
from bioelx.settings import CHECKOUT, shipped

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel's content; what it needs comes from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    # The build backend is in the `dev` extra, so this asks no package index.
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(CHECKOUT)]
    subprocess.run(build, check=True)
    [wheel] = folder.glob("bioelx-*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(shipped("models"))
    return home


@pytest.fixture
def environment(installed: Path, home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), "BIOELX_HOME": str(home)}


@pytest.fixture
def bioelx(environment: dict[str, str], tmp_path: Path) -> Run:
    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bioelx", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={**environment, **changes}, capture_output=True, text=True
        )

    return run


def test_it_holds_three_packages_and_no_models(installed: Path) -> None:
    packages = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert packages - {"bin"} == {"bioelx", "bioelx_index", "bioelx_eval"}
    assert not [p for p in installed.rglob("*") if p.suffix in {".onnx", ".xz", ".arrow"}]


def test_it_builds_serves_and_links(
    bioelx: Run, environment: dict[str, str], tmp_path: Path, small_snapshot: Path
) -> None:
    built = bioelx("build", "--data", str(small_snapshot))
    assert built.returncode == 0, built.stderr
    serve = [sys.executable, "-m", "bioelx", "serve", "--port", "0", "--threads", "1"]
    with subprocess.Popen(
        serve, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            address = server.stdout.readline().decode().split()[-1]
            with Client(address) as client:
                [link] = client.link_mentions(["astım"], language="tr")
            assert link.candidates[0].concept_id == "wikidata:Q35869"
        finally:
            server.terminate()
        assert server.wait(30) == 0
    found = bioelx("search", "Cephalgia", "--output", "json")
    assert json.loads(found.stdout.splitlines()[0])["concept_id"] == "wikidata:Q86"


def test_it_says_where_models_come_from(bioelx: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    built = bioelx("build", BIOELX_HOME=str(empty))
    assert built.returncode == 1
    assert "set BIOELX_HOME to a checkout" in built.stderr
    assert "Traceback" not in built.stderr
