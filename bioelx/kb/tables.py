"""The two tables of a knowledge base and how they lie in a release.

Between build stages `concepts` and `names` are plain tables (Parquet). In a release they are Arrow
IPC files made to be memory-mapped and searched where they lie:

- `concepts` is sorted by concept_id, so a row is found by bisection;
- `names` is sorted by its extra column `key`, the name's normal form, so all names of one form are
  neighbours. `key` and `concept_id` are dictionary-encoded over the sorted distinct keys and over
  the concepts in their order: the codes are *text ids*, which number the vectors of the index,
  and concept rows.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bioelx.errors import FileError
from bioelx.kb.normalise import normalise
from bioelx.types import NAME_KINDS

CONCEPTS_FILE = "concepts.arrow"
NAMES_FILE = "names.arrow"

CONCEPTS_SCHEMA = pa.schema(
    [
        pa.field("concept_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("types", pa.list_(pa.string()), nullable=False),
        pa.field("xrefs", pa.list_(pa.string()), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("replaced_by", pa.string()),
        pa.field("modified", pa.timestamp("s", tz="UTC")),
    ]
)
NAMES_SCHEMA = pa.schema(
    [
        pa.field("concept_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        # Shared by so many concepts that it tells none of them: kept, but nothing to train on.
        pa.field("ambiguous", pa.bool_(), nullable=False),
    ]
)
_CODES = pa.int32()


def prepare(concepts: pa.Table, names: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Sorts and encodes merged tables into the form of a release.

    Names of retired concepts are left out: a retired concept is never an answer.
    """
    concepts = concepts.cast(CONCEPTS_SCHEMA).sort_by("concept_id").combine_chunks()
    active = concepts.filter(pc.equal(concepts["status"], "active"))["concept_id"]
    names = names.cast(NAMES_SCHEMA)
    names = names.filter(pc.is_in(names["concept_id"], value_set=active.combine_chunks()))

    keys = pa.array([normalise(text) for text in names["text"].to_pylist()], pa.string())
    names = names.append_column("key", keys).filter(pc.not_equal(keys, ""))
    kind_order = pc.index_in(names["kind"], value_set=pa.array(NAME_KINDS))
    names = (
        names.append_column("kind_order", kind_order)
        .sort_by([(c, "ascending") for c in ("key", "concept_id", "kind_order", "lang", "text")])
        .drop_columns("kind_order")
        .combine_chunks()
    )
    for column in ("lang", "kind", "source"):
        names = _encode(names, column, pc.unique(names[column]).sort())
    names = _encode(names, "concept_id", concepts["concept_id"].combine_chunks())
    # The keys are sorted already, so their distinct values in order of appearance are too.
    names = _encode(names, "key", pc.unique(names["key"]))
    return concepts, names


def _encode(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    codes = pc.index_in(table[column], value_set=values).cast(_CODES)
    encoded = pa.DictionaryArray.from_arrays(codes.combine_chunks(), values)
    return table.set_column(table.column_names.index(column), column, encoded)


def write_table(table: pa.Table, path: Path) -> None:
    """Writes `table` as one record batch, so that each column lies in one piece."""
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, table.num_rows))


def map_table(path: Path) -> pa.Table:
    """Memory-maps a table written by `write_table`.

    Raises:
        FileError: the file is missing or not such a table.
    """
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise FileError(path, f"not a whole Arrow IPC file ({error})") from None
