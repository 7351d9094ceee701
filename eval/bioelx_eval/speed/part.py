"""A part of a release, for measuring at another size: some of its names, all else alike."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.tables import (
    CONCEPTS_FILE,
    NAMES_FILE,
    NAMES_SCHEMA,
    map_table,
    prepare,
    write_table,
)
from bioelx.release import IndexStamp, read_manifest
from bioelx.release.canaries import CANARIES_FILE
from bioelx.release.store import finish_release
from bioelx.search.index import INDEX_FILE, NameIndex


def part_of(release: Path, names: int, folder: Path, seed: int) -> Path:
    """Writes a release of `names` random distinct names of another to `folder`; returns it.

    The vectors are the other's, as its index holds them; the index is the one for this many.
    """
    manifest = read_manifest(release)
    whole = map_table(release / NAMES_FILE)
    keys = whole["key"].combine_chunks()
    texts = len(keys.dictionary)
    chosen = np.sort(np.random.default_rng(seed).permutation(texts)[:names])
    kept = whole.filter(pc.is_in(keys.indices, value_set=pa.array(chosen, keys.indices.type)))
    kept = kept.select(NAMES_SCHEMA.names).cast(NAMES_SCHEMA)
    concepts = map_table(release / CONCEPTS_FILE)
    concepts = concepts.filter(pc.is_in(concepts["concept_id"], pc.unique(kept["concept_id"])))

    draft = folder / "draft"
    draft.mkdir(parents=True)
    others = {CONCEPTS_FILE, NAMES_FILE, INDEX_FILE, CANARIES_FILE}
    for name in manifest.files.keys() - others:
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(release / name, draft / name)
    for table, file in zip(prepare(concepts, kept), (CONCEPTS_FILE, NAMES_FILE), strict=True):
        write_table(table, draft / file)
    # Distinct names are numbered in their order, in the whole and so in the part.
    vectors = NameIndex.open(release, manifest.index.factory).vectors()[chosen]
    index = NameIndex.build(vectors)
    index.save(draft)
    stamp = IndexStamp(
        index.factory,
        index.text_count,
        manifest.index.recall_at_10,
        manifest.index.recall_at_50,
        index.parameters,
    )
    part = replace(manifest, index=stamp, concepts=len(concepts), names=len(kept))
    return folder / finish_release(draft, part, folder).id
