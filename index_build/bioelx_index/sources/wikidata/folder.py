"""A pull on disk: what is done of it while it runs, and its records when it is whole.

    DIR/lock             held by the process that pulls
    DIR/recipe.json      what is pulled from where; another recipe needs another folder
    DIR/work/            checkpoints and parts of a pull that is not finished
    DIR/records.parquet  the items, by ascending QID
    DIR/pull.json        what the pull was; its presence says that the pull is finished

Everything is written beside, flushed and renamed: a process that is killed leaves whole files only,
and the next one goes on from them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from bioelx.errors import FileError, SourceError
from bioelx.release.manifest import stamp_file
from bioelx.types import Name, Status
from bioelx_index.kinds import ordered
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.wikidata.item import SOURCE, Item

RECORDS_FILE, PULL_FILE = "records.parquet", "pull.json"
SCHEMA = 1

_NAME = pa.struct([("text", pa.string()), ("lang", pa.string()), ("kind", pa.string())])
RECORDS_SCHEMA = pa.schema(
    [
        ("qid", pa.int64()),
        ("names", pa.list_(_NAME)),
        ("description", pa.string()),
        ("classes", pa.list_(pa.int64())),
        ("types", pa.list_(pa.string())),
        ("equivalent", pa.list_(pa.string())),
        ("related", pa.list_(pa.string())),
        ("modified", pa.timestamp("s", tz="UTC")),
        ("status", pa.string()),
        ("replaced_by", pa.int64()),
    ]
)
_ROWS_AT_ONCE = 50_000
_ITEMS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Pull:
    """What `pull.json` says of a finished pull."""

    route: str  # sparql, dump or changes
    origin: str  # an endpoint's URL, or a dump's file name and checksum
    selection: dict[str, Any]
    started: datetime
    """Whatever changed at the origin after this moment may be missing."""
    items: int
    """That are active."""
    retired: int
    names: int
    """Of active items."""
    sha256: str
    """Of `records.parquet`."""
    last_event_id: str = ""
    """Of the stream of changes, where that was followed; see `changes.py`."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the route counted on its way."""
    schema: int = SCHEMA


_ADAPTER = TypeAdapter(Pull)


class PullFolder:
    """A pull that is not finished, held by this process alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._work = folder / "work"
        self._work.mkdir(exist_ok=True)

    # Checkpoints

    def recall(self, name: str) -> Any:
        """What was noted under this name, or None."""
        try:
            return orjson.loads((self._work / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None

    def note(self, name: str, value: Any) -> None:
        """Keeps a value (JSON) for the process that goes on."""
        _write(self._work / f"{name}.json", orjson.dumps(value))

    def recall_numbers(self, name: str) -> np.ndarray | None:
        """The int64 array that was noted under this name, or None."""
        path = self._work / f"{name}.npy"
        return np.load(path) if path.exists() else None

    def note_numbers(self, name: str, values: np.ndarray) -> None:
        """Keeps an int64 array for the process that goes on."""
        path = self._work / f"{name}.npy"
        draft = path.with_suffix(".part")
        with draft.open("wb") as stream:
            np.save(stream, values)
        _settle(draft, path)

    # Parts

    def parts(self, prefix: str = "") -> list[str]:
        """The names of the finished parts, or of those that begin so, sorted."""
        return sorted(path.stem for path in self._work.glob(f"{prefix}*.parquet"))

    def add_part(self, name: str, items: Iterable[Item]) -> int:
        """Keeps items under a name of one's own; returns how many. The part is there whole or not
        at all."""
        rows = sorted((_row(item) for item in items), key=lambda row: row["qid"])
        return self.add_tables(name, [pa.Table.from_pylist(rows, RECORDS_SCHEMA)])

    def add_tables(self, name: str, tables: Iterable[pa.Table]) -> int:
        """As `add_part`, with records that are tables already, by ascending QID; one table is in
        memory at a time."""
        path = self._work / f"{name}.parquet"
        draft, rows = path.with_suffix(".part"), 0
        with pq.ParquetWriter(draft, RECORDS_SCHEMA, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table, row_group_size=_ROWS_AT_ONCE)
                rows += len(table)
        _settle(draft, path)
        return rows

    def read_parts(self, columns: Sequence[str], prefix: str = "") -> Iterator[pa.Table]:
        """Some columns of the parts whose names begin with `prefix`, part by part."""
        for part in self.parts(prefix):
            table = pq.read_table(self._work / f"{part}.parquet", columns=columns)
            yield _typed(table, columns)

    def count(self, prefix: str = "") -> int:
        """How many items the parts hold, or those of them whose names begin so."""
        return sum(
            pq.read_metadata(self._work / f"{part}.parquet").num_rows for part in self.parts(prefix)
        )

    def classes(self) -> list[int]:
        """The distinct QIDs that are classes of some item of the parts, ascending."""
        found: set[int] = set()
        for table in self.read_parts(["classes"]):
            found.update(pc.unique(table["classes"].combine_chunks().flatten()).to_pylist())
        return sorted(found)

    # The end

    def finish(
        self,
        types: Mapping[int, Sequence[str]],
        *,
        route: str,
        origin: str,
        selection: dict[str, Any],
        started: datetime,
        last_event_id: str = "",
        notes: dict[str, Any] | None = None,
    ) -> Pull:
        """Puts the parts together by ascending QID and closes the pull.

        Of an item that several parts hold the one modified last stands. Memory is bounded by some
        50,000 items.

        Args:
            types: BioELX's types of each class, as far as known; an item has those of its classes.
        """
        draft = self.folder / f"{RECORDS_FILE}.part"
        items = retired = names = 0
        with pq.ParquetWriter(draft, RECORDS_SCHEMA, compression="zstd") as writer:
            for table in self._in_order():
                table = _with_types(table, types)
                active = table.filter(pc.equal(table["status"], Status.ACTIVE.value))
                items, retired = items + len(active), retired + len(table) - len(active)
                names += pc.sum(pc.list_value_length(active["names"])).as_py() or 0
                writer.write_table(table)
        _settle(draft, self.folder / RECORDS_FILE)
        pull = Pull(
            route=route,
            origin=origin,
            selection=selection,
            started=started,
            items=items,
            retired=retired,
            names=names,
            sha256=stamp_file(self.folder / RECORDS_FILE).sha256,
            last_event_id=last_event_id,
            notes=notes or {},
        )
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        encoded = orjson.dumps(_ADAPTER.dump_python(pull, mode="json"), option=options)
        _write(self.folder / PULL_FILE, encoded)
        shutil.rmtree(self._work)
        return read_pull(self.folder)

    def _in_order(self) -> Iterator[pa.Table]:
        parts = [str(self._work / f"{part}.parquet") for part in self.parts()]
        if not parts:
            return
        records = ds.dataset(parts, schema=RECORDS_SCHEMA)
        qids = np.sort(records.to_table(columns=["qid"])["qid"].to_numpy())
        bounds = [*qids[::_ROWS_AT_ONCE].tolist(), int(qids[-1]) + 1] if len(qids) else []
        for low, high in pairwise(bounds):
            within = (pc.field("qid") >= low) & (pc.field("qid") < high)
            table = records.to_table(filter=within)
            table = table.sort_by([("qid", "ascending"), ("modified", "ascending")])
            here = table["qid"].to_numpy()
            last = np.append(here[1:] != here[:-1], True) if len(here) else here.astype(bool)
            yield table.filter(pa.array(last))


@contextmanager
def open_pull(folder: Path, recipe: dict[str, Any]) -> Iterator[PullFolder | None]:
    """Opens a folder to pull into: a new one, or one that a killed process left.

    Yields None where the same pull is finished already.

    Args:
        recipe: all that decides what comes out, as JSON: route, origin, selection, ...

    Raises:
        SourceError: another process pulls into it, or it is another pull's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(f"{folder}: another process is pulling into it") from None
        encoded = orjson.dumps(recipe, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
        path = folder / "recipe.json"
        if path.exists() and path.read_bytes() != encoded:
            raise SourceError(f"{folder}: holds another pull (see {path}); name another folder")
        if not path.exists():
            _write(path, encoded)
        yield None if (folder / PULL_FILE).exists() else PullFolder(folder)


def read_pull(folder: Path) -> Pull:
    """What a finished pull was.

    Raises:
        FileError: the folder holds no finished pull, or one of another version.
    """
    path = folder / PULL_FILE
    try:
        raw = orjson.loads(path.read_bytes())
        if raw.get("schema") != SCHEMA:
            raise FileError(path, f"schema {raw.get('schema')}, this version reads {SCHEMA}")
        return _ADAPTER.validate_python(raw)
    except FileNotFoundError:
        raise FileError(path, "no such file: not a finished pull's folder") from None
    except (orjson.JSONDecodeError, ValidationError, AttributeError) as error:
        raise FileError(path, f"does not describe a pull ({error})") from None


def read_tables(
    path: Path, columns: Sequence[str] = tuple(RECORDS_SCHEMA.names), *, rows: int = _ROWS_AT_ONCE
) -> Iterator[pa.Table]:
    """Streams the records of a `records.parquet`, or some columns of them, by ascending QID.

    Raises:
        FileError: not such a file.
    """
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != RECORDS_SCHEMA.names:
                raise FileError(path, "does not have the columns of a pull's records")
            for batch in file.iter_batches(rows, columns=columns):
                yield _typed(pa.Table.from_batches([batch]), columns)
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise FileError(path, f"not a whole Parquet file ({error})") from None


def read_items(path: Path) -> Iterator[tuple[Item, tuple[str, ...]]]:
    """Streams the items of a `records.parquet`, each with its types, by ascending QID.

    Raises:
        FileError: not such a file.
    """
    for table in read_tables(path, rows=_ITEMS_AT_ONCE):
        for row in table.to_pylist():
            yield _item(row), tuple(row["types"])


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of all records.

    Raises:
        FileError: as `read_tables`.
    """
    empty = RECORDS_SCHEMA.empty_table().select(columns)
    return pa.concat_tables([empty, *read_tables(path, columns)])


def items_of(table: pa.Table) -> list[Item]:
    """The items of some records."""
    return [_item(row) for row in table.to_pylist()]


def names_by_language(path: Path) -> Counter[str]:
    """How many names a `records.parquet` holds in each language."""
    found: Counter[str] = Counter()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["names.list.element.lang"]):
            languages = pc.list_flatten(batch["names"]).field("lang")
            found.update(
                {row["values"]: row["counts"] for row in languages.value_counts().to_pylist()}
            )
    return found


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads finished pulls as a source: their `records.parquet`.

    Raises:
        FileError: not such a file.
    """
    for path in files:
        for item, types in read_items(path):
            replacement = f"wikidata:Q{item.replaced_by}" if item.replaced_by else None
            yield SourceConcept(
                f"wikidata:Q{item.qid}",
                tuple(name._replace(source=source) for name in item.names),
                description=item.description,
                types=types,
                equivalent=item.equivalent,
                related=item.related,
                status=item.status,
                replaced_by=replacement,
                modified=item.modified,
            )


def _typed(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Parquet has no dates in seconds, and gives them back in milliseconds."""
    return table.select(columns).cast(pa.schema([RECORDS_SCHEMA.field(name) for name in columns]))


def _row(item: Item) -> dict[str, Any]:
    return {
        "qid": item.qid,
        "names": [{"text": n.text, "lang": n.lang, "kind": n.kind} for n in item.names],
        "description": item.description,
        "classes": item.classes,
        "types": (),
        "equivalent": item.equivalent,
        "related": item.related,
        "modified": item.modified,
        "status": item.status.value,
        "replaced_by": item.replaced_by,
    }


def _item(row: Mapping[str, Any]) -> Item:
    return Item(
        row["qid"],
        tuple(Name(n["text"], n["lang"], n["kind"], SOURCE) for n in row["names"]),
        row["description"],
        tuple(row["classes"]),
        tuple(row["equivalent"]),
        tuple(row["related"]),
        row["modified"],
        Status(row["status"]),
        row["replaced_by"],
    )


def _with_types(table: pa.Table, types: Mapping[int, Sequence[str]]) -> pa.Table:
    """The rows with the types of their classes; `other` where only unknown classes are."""
    column = [
        ordered(name for each in classes for name in types.get(each, ("other",)))
        for classes in table["classes"].to_pylist()
    ]
    place = table.column_names.index("types")
    return table.set_column(
        place, RECORDS_SCHEMA.field("types"), pa.array(column, pa.list_(pa.string()))
    )


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.part")
    draft.write_bytes(content)
    _settle(draft, path)


def _settle(draft: Path, path: Path) -> None:
    """Gives a draft its name once it is on the disk."""
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(path)
