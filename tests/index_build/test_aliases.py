"""The comparison of the readers' names with another table of the same sources."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bioelx.errors import FileError
from bioelx_index.benchmark import aliases


def table(path: Path, *rows: tuple[str, str, str, str, list[str]]) -> Path:
    columns = ["entity_id", "source", "lang", "name", "xrefs"]
    pq.write_table(
        pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows]), path
    )
    return path


def test_names_and_ids_stand_side_by_side(small_snapshot: Path, tmp_path: Path) -> None:
    other = table(
        tmp_path / "aliases.parquet",
        ("HP:0002315", "hpo2025", "en", "Headache", ["UMLS:C0018681"]),
        ("HP:0002315", "hpo2025", "en", "HEADACHE", ["UMLS:C0018681"]),  # the same once normalised
        ("HP:0002315", "elsewhere", "en", "Cephalgia", []),  # of a source that we do not have
    )
    census = aliases.take(aliases.read_aliases(other, ["hpo", "wikidata"]))
    assert census.by_source()[1] == {"hpo": 1}
    assert census.by_scheme() == {"hp": 1, "umls": 1}

    command = aliases.typer.Typer()
    command.command()(aliases.main)
    options = ["--aliases", str(other), "--data", str(small_snapshot)]
    said = CliRunner().invoke(command, options)
    assert said.exit_code == 0, said.output
    rows = [line.split(" | ") for line in said.output.splitlines()]
    of_hpo = next(row for row in rows if row[0] == "| hpo" and row[1] == "1")
    assert int(of_hpo[2]) > 1
    assert of_hpo[3].startswith("+")


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.parquet"
    pq.write_table(pa.table({"name": ["flu"]}), path)
    with pytest.raises(FileError, match=r"names\.parquet: no column 'entity_id'"):
        list(aliases.read_aliases(path, ["hpo"]))
