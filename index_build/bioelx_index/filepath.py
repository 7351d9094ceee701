"""Paths in a file of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def in_file(file: Path) -> dict[str, Path]:
    """The context in which settings that stand in `file` are validated."""
    return {"folder": file.parent}


def _from_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return folder / path.expanduser()


FilePath = Annotated[Path, AfterValidator(_from_the_file)]
"""A path that is meant from the folder of the file that says it, else from the working folder."""
