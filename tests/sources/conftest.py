from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a small source file, compressed if its name says so."""

    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        data = text.encode()
        path.write_bytes(lzma.compress(data) if name.endswith(".xz") else data)
        return path

    return _write
