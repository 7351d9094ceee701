"""The image: what its file promises, and, in an empty folder, what its install steps make.

No Docker engine runs where these tests do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from bioelx.client import Client
from bioelx.config import gather
from bioelx.settings import ServerSettings

from .dockerfile import bytes_in, chain, read_stages, replay

ROOT = Path(__file__).parents[2]
STAGES = read_stages(ROOT / "Dockerfile")
CONFIG = ROOT / "deploy" / "docker" / "bioelx.toml"
MOST_BYTES = 600_000_000
"""Of the CPU target without its base image."""


def said(target: str, instruction: str) -> list[str]:
    return [text for stage in chain(STAGES, target) for text in stage.all(instruction)]


@pytest.mark.parametrize(
    ("target", "extras"), [("cpu", "cpu,traces"), ("gpu", "gpu,traces"), ("build", "cpu,build")]
)
def test_every_target_is_pinned_and_runs_as_nobody(target: str, extras: str) -> None:
    assert chain(STAGES, target)[0].of == "${PYTHON_IMAGE}"
    base = r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-bookworm$"
    assert re.search(base, (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert said(target, "USER") == ["10001:10001"]
    [install] = [text for text in said(target, "COPY") if "--from=" in text]
    [command] = said(install.split()[0].removeprefix("--from="), "RUN")
    assert f'-c constraints.txt ".[{extras}]"' in command


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_what_a_server_listens_on_is_what_is_exposed_and_asked(target: str) -> None:
    settings = tomllib.loads(CONFIG.read_text())
    ports = [settings["port"]]
    ports += [int(settings[f"{name}_address"].split(":")[1]) for name in ("health", "metrics")]
    assert said(target, "EXPOSE") == [" ".join(map(str, ports))]
    assert f"BIOELX_CONFIG={copied_to(target, CONFIG)}" in said(target, "ENV")
    [check] = said(target, "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    compile(command[2], "HEALTHCHECK", "exec")
    assert f"'127.0.0.1:{ports[1]}'" in command[2]


def copied_to(target: str, path: Path) -> str:
    [goal] = [
        text.split()[1]
        for text in said(target, "COPY")
        if text.split()[0] == str(path.relative_to(ROOT))
    ]
    return goal


def test_by_default_a_server_of_the_image_has_certificates_and_knows_its_callers() -> None:
    settings = gather(ServerSettings, {}, CONFIG).settings
    assert settings.host == "0.0.0.0"
    assert settings.tls_certificate == Path("/etc/bioelx/tls/tls.crt")
    assert settings.tokens == Path("/etc/bioelx/tokens/tokens.json")
    assert not settings.insecure_without_tls_and_authentication


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a machine on which the install step of the CPU target has run."""
    root = tmp_path_factory.mktemp("image")
    replay(STAGES, "install-cpu", root, ROOT)
    return root


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_cpu_target_is_small_and_serves(installed: Path, tiny_home: Path) -> None:
    app = installed / "app"
    parts = {"/app": bytes_in(app)}
    for text in said("cpu", "COPY"):
        if not text.startswith("--"):
            source, goal = text.split()
            parts[goal] = bytes_in(ROOT / source)
    print({name: f"{size / 1e6:.1f} MB" for name, size in parts.items()})
    assert {"/app", "/bioelx/models", "/bioelx/data"} <= set(parts)
    assert 100_000_000 < sum(parts.values()) <= MOST_BYTES
    assert not list(app.glob("lib/python*/site-packages/pip"))
    assert not list(app.glob("lib/python*/site-packages/torch"))
    # Byte code is there: a server with a read-only root makes none.
    package = next(app.glob("lib/python*/site-packages/bioelx"))
    assert list(package.glob("__pycache__/client.*.pyc"))

    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with subprocess.Popen(
        [app / "bin" / "bioelx", "serve", "--port", "0", "--threads", "1"],
        cwd=installed,
        env={**bare, "BIOELX_HOME": str(tiny_home), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            with Client(address, timeout=60) as client:
                [link] = client.link_mentions(["influenza"])
                assert link.candidates
        finally:
            process.kill()
