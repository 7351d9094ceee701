"""Rows of the tab-separated files that sources ship, with errors that name the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.errors import FileError
from bioelx_index.sources.files import read_lines


def headed_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line number, row) of a TSV whose first line that is no ``#`` comment names its
    columns. Lines that are empty are passed over; a short row has its last columns empty.

    Raises:
        FileError: a required column is missing, a row has more cells than the header, or as
            `read_lines`.
    """
    header: list[str] | None = None
    for number, cells in _lines(path):
        if header is None:
            header = cells
            if missing := [name for name in required if name not in header]:
                raise FileError(path, f"no column {missing[0]!r}", line=number)
        elif len(cells) > len(header):
            message = f"{len(cells)} cells under {len(header)} columns"
            raise FileError(path, message, line=number)
        else:
            yield number, {**dict.fromkeys(header, ""), **dict(zip(header, cells, strict=False))}
    if header is None:
        raise FileError(path, "empty: not even a header", line=1)


def plain_rows(path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, cells) of a TSV without a header.

    Raises:
        FileError: a row does not have `columns` cells, or as `read_lines`.
    """
    for number, cells in _lines(path):
        if len(cells) != columns:
            raise FileError(path, f"{len(cells)} cells, not {columns}", line=number)
        yield number, cells


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in read_lines(path):
        if line.strip() and not line.startswith("#"):
            yield number, [_unquoted(cell) for cell in line.split("\t")]


def _unquoted(cell: str) -> str:
    """Cells are quoted whole or not at all; a quotation mark inside one is just a mark."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell
