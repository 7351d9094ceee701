"""A release like another in all but the ids of its concepts, to tell whose answer a reply holds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, map_table, write_table
from bioelx.release import draft_folder, read_manifest
from bioelx.release.canaries import read_canaries, write_canaries
from bioelx.release.store import finish_release


def twin_of(release: Path, root: Path, prefix: str) -> Path:
    """Writes a release whose concept ids have `prefix` before them to `root`; returns its folder.

    With one prefix before all of them, ids keep their order, and so do all rows and vectors.
    """
    with draft_folder(root) as draft:
        shutil.copytree(release, draft, dirs_exist_ok=True)
        for file in (CONCEPTS_FILE, NAMES_FILE):
            table = map_table(release / file)
            for column in {"concept_id", "replaced_by"} & set(table.column_names):
                at = table.column_names.index(column)
                table = table.set_column(at, table.field(at), _prefixed(table[column], prefix))
            write_table(table, draft / file)
        canaries = read_canaries(release)
        write_canaries((replace(c, concept_id=prefix + c.concept_id) for c in canaries), draft)
        return root / finish_release(draft, read_manifest(release), root).id


def _prefixed(column: pa.ChunkedArray, prefix: str) -> pa.Array:
    whole = column.combine_chunks()
    if isinstance(whole, pa.DictionaryArray):
        values = pc.binary_join_element_wise(prefix, whole.dictionary, "")
        return pa.DictionaryArray.from_arrays(whole.indices, values)
    return pc.binary_join_element_wise(prefix, whole, "")
