"""The generated stubs are those of the contract."""

import subprocess
import sys
from pathlib import Path

import pytest

from bioelx.settings import CHECKOUT

STUBS = [f"linker_pb2{part}" for part in (".py", ".pyi", "_grpc.py", "_grpc.pyi")]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stubs")
    # protoc finds its mypy plugin on PATH, and a virtual environment need not be activated.
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    command = [sys.executable, str(CHECKOUT / "proto" / "generate.py"), "--out", str(out)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return out / "bioelx" / "v1"


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_is_current(generated: Path, name: str) -> None:
    committed = CHECKOUT / "bioelx" / "v1" / name
    assert (generated / name).read_text() == committed.read_text(), "run `make proto`"
