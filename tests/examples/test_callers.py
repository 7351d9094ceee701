"""The callers of docs/clients.md in other languages, compiled and run where their tools are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc_tools
import pytest

from bioelx.client import Client, document

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
CONTRACT = "bioelx/v1/linker.proto"
TEXT = "𝔓atient mit Influenza."  # the first letter is two units of UTF-16
START, END = 13, 22
JARS = Path("/usr/share/java")
"""Where Debian's libgrpc-java, libnetty-java and libprotobuf-java are."""


def slow(test: Callable[..., None]) -> Callable[..., None]:
    """A compiler, or a runtime, is started."""
    return pytest.mark.long(pytest.mark.timeout(900)(test))


def need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_offsets_are_those_of_utf16() -> None:
    units = TEXT.encode("utf-16-le")
    assert units[2 * START : 2 * END].decode("utf-16-le") == "Influenza"


@pytest.fixture
def expected(client: Client) -> tuple[str, str]:
    """The concept that the Python client is told for the mention, and the confidence."""
    start = TEXT.index("Influenza")
    reply = client.link([document(TEXT, (start, start + len("Influenza")))], top_k=3)
    [link] = reply.documents[0].links
    assert link.concept_id
    return link.concept_id, f"{link.confidence:.3f}"


@slow
def test_java(server, expected, tmp_path: Path) -> None:
    need("javac", "java", "protoc", "grpc_java_plugin")
    if not (JARS / "grpc-netty.jar").exists():
        pytest.skip("needs gRPC for Java")
    run(
        "protoc",
        f"--java_out={tmp_path}",
        f"--grpc-java_out={tmp_path}",
        f"--plugin=protoc-gen-grpc-java={shutil.which('grpc_java_plugin')}",
        f"-I{PROTO}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        CONTRACT,
    )
    sources = [*tmp_path.rglob("*.java"), ROOT / "examples" / "java" / "LinkSentence.java"]
    run("javac", "-nowarn", "-cp", f"{JARS}/*", "-d", tmp_path / "out", *sources)
    path = f"{tmp_path / 'out'}:{JARS}/*"
    said = run("java", "-cp", path, "LinkSentence", server.address, TEXT, str(START), str(END))
    assert said.replace(",", ".").split() == ["m1", *expected]


@slow
def test_node(server, expected, tmp_path: Path) -> None:
    need("node")
    script = ROOT / "examples" / "node" / "link.js"
    found = subprocess.run(
        ["node", "-e", "require.resolve('@grpc/grpc-js'); require.resolve('@grpc/proto-loader')"],
        cwd=script.parent,
        capture_output=True,
        check=False,
    )
    if found.returncode:
        pytest.skip("needs @grpc/grpc-js and @grpc/proto-loader, there or in NODE_PATH")
    command = ("node", script, PROTO / CONTRACT, server.address, TEXT, str(START), str(END))
    assert run(*command).split() == ["m1", *expected]
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    told = {**os.environ, "BIOELX_TOKEN_FILE": str(token)}
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    # A token is not sent to a server that does not encrypt.
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "UNAVAILABLE" in done.stderr


@slow
def test_grpcurl(server, expected) -> None:
    need("grpcurl")
    request = {"documents": [{"text": "Influenza", "language": "de"}]}
    method = "bioelx.v1.EntityLinker/Link"
    of_contract = ("-import-path", str(PROTO), "-proto", CONTRACT)
    for source in ((), of_contract):  # by reflection, and from the contract alone
        said = run(
            "grpcurl", "-plaintext", *source, "-d", json.dumps(request), server.address, method
        )
        [answered] = json.loads(said)["documents"]
        found = [each["conceptId"] for each in answered["links"][0]["candidates"]]
        assert expected[0] in found[:2]
    services = run("grpcurl", "-plaintext", server.address, "list")
    assert "bioelx.v1.EntityLinker" in services.splitlines()
    health = run("grpcurl", "-plaintext", server.address, "grpc.health.v1.Health/Check")
    assert json.loads(health) == {"status": "SERVING"}


def test_the_service_configs_are_those_of_the_docs() -> None:
    """One JSON for all languages: what docs/clients.md shows is what the Node caller says."""
    docs = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```json\n(.*?)```", docs, re.DOTALL)
    config = json.loads(shown)
    script = (ROOT / "examples" / "node" / "link.js").read_text(encoding="utf-8")
    [written] = re.findall(r"const serviceConfig = (\{.*?\n\});", script, re.DOTALL)
    quoted = re.sub(r"(\w+):(?=\s)", r'"\1":', written)
    assert json.loads(re.sub(r",(\s*[}\]])", r"\1", quoted)) == config
