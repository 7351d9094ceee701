"""Generates the Python stubs in bioelx/v1 from proto/bioelx/v1/linker.proto.

    python proto/generate.py [--out DIR]      (default: the repository, that is bioelx/v1)

tests/test_stubs.py runs the same into a temporary folder and compares.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
CONTRACT = "bioelx/v1/linker.proto"


def generate(out: Path) -> None:
    """Writes linker_pb2.py, linker_pb2_grpc.py and their type stubs under `out`/bioelx/v1."""
    well_known = files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        f"--proto_path={PROTO}",
        f"--proto_path={well_known}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out={out}",
        f"--mypy_grpc_out={out}",
        CONTRACT,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit(f"protoc refused {CONTRACT}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=PROTO.parent, help="folder to write under")
    generate(parser.parse_args().out)
