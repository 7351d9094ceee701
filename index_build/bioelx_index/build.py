"""The offline journey: sources -> names -> knowledge base -> vectors -> index -> release.

`build` reads from top to bottom; each step is one call into the module that owns it. What costs
minutes is kept: merged tables under `work/`, keyed by all that went into them, and vectors in their
cache. A build that was killed goes on from there.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bioelx.encoding import Encoder, open_encoder
from bioelx.encoding.encoder import CARD_FILE, read_card
from bioelx.errors import BioelxError
from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, prepare, write_table
from bioelx.release import (
    EncoderStamp,
    IndexStamp,
    Manifest,
    activate,
    active_release,
    draft_folder,
)
from bioelx.release.canaries import write_canaries
from bioelx.release.manifest import read_manifest, utc_now
from bioelx.release.store import finish_release
from bioelx.search.index import EXACT_FACTORY, NameIndex
from bioelx_index.calibrate import fit_confidence
from bioelx_index.canaries import choose_canaries
from bioelx_index.merge import VERSION, Hygiene, Previous, merge, read
from bioelx_index.merge.hygiene import read_hygiene
from bioelx_index.merge.page import PAGE_FILE, summary, write_report
from bioelx_index.progress import Stages
from bioelx_index.pulls import forget_slice, pull_endpoint, pull_slice, put_aside
from bioelx_index.recall import recall_at
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.config import (
    CONFIG_FILE,
    WIKIDATA,
    SourceConfig,
    dictionary_source,
    pulled_source,
    read_sources,
    with_umls,
)
from bioelx_index.sources.registry import VERBATIM
from bioelx_index.sources.wikidata.folder import RECORDS_FILE
from bioelx_index.subset import select
from bioelx_index.vectors import encode_names


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What to build from, and where to."""

    data: Path  # folder with sources.toml
    encoder: Path  # folder with encoder.json
    releases: Path
    cache: Path  # vectors and merged tables that a later build can use again
    dictionary: Path | None = None  # `CUI||name` a line, in place of what is in `data`
    umls: Path | None = None  # the user's own RRF files
    wikidata: Path | None = None  # a finished pull, in place of the snapshot's slice
    endpoint: str = ""  # SPARQL endpoint to pull Wikidata from, in place of the snapshot's slice
    user_agent: str = ""
    names_budget: int | None = None  # take the most widely named concepts only (see subset.py)
    types: tuple[str, ...] = field(default=())  # of these types; empty: all


def build(settings: BuildSettings, stages: Stages) -> Manifest:
    """Runs the offline job, activates the release it made and returns that release's manifest.

    A release of a dictionary follows a published protocol: its ids are the dictionary's, not those
    of the active release, its index compares every name, and it is not activated.

    Raises:
        BioelxError: a source, the encoder or the disk is not as it should be.
    """
    sources = _sources(settings, stages)
    parent = None if settings.dictionary else active_release(settings.releases)

    with draft_folder(settings.releases) as draft:
        # The draft's own copy is what encodes: whatever happens to the original meanwhile.
        encoder = open_encoder(_copy_encoder(settings.encoder, draft / "encoder"))
        sources = _with_pulled_wikidata(sources, settings, stages)
        concepts, names = _merged_tables(sources, settings, parent, stages)
        concepts, names = _selected(concepts, names, settings, stages)
        knowledge_base = _write_tables(concepts, names, draft)
        vectors = _encode(knowledge_base, encoder, settings.cache, stages)
        exact = settings.dictionary is not None and settings.umls is None
        index, index_stamp = _index(knowledge_base, vectors, encoder, draft, stages, exact=exact)
        _fit_confidence(knowledge_base, index, vectors, draft, stages)
        write_canaries(choose_canaries(knowledge_base, index, encoder), draft)
        manifest = Manifest(
            id="",
            created=utc_now(),
            parent=parent,
            sources=tuple(source.stamp() for source in sources),
            encoder=EncoderStamp(
                encoder.card.name, encoder.card.fingerprint, encoder.card.dimension
            ),
            index=index_stamp,
            concepts=knowledge_base.concept_count,
            names=knowledge_base.name_count,
        )
        finished = _release(draft, manifest, settings, stages)
    if settings.endpoint:
        put_aside(settings.endpoint, settings.cache, finished.id)
    return finished


def _merged_tables(
    sources: list[SourceConfig], settings: BuildSettings, parent: str | None, stages: Stages
) -> tuple[pa.Table, pa.Table]:
    """Reads and merges all sources, unless the same files were merged before."""
    rules = _rules(settings)
    recipe = [
        VERSION,
        rules.model_dump(),
        *(asdict(source.stamp()) for source in sources),
        _ids_of(settings.releases, parent),
    ]
    kept = settings.cache / "merged" / _digest(recipe)
    if (kept / NAMES_FILE).exists():
        with stages.stage("merge") as stage:
            tables = pq.read_table(kept / CONCEPTS_FILE), pq.read_table(kept / NAMES_FILE)
            stage.result = f"unchanged since the last build; see {kept / PAGE_FILE}"
        return tables
    said = read(_records(sources, settings, stages), [source.name for source in sources])
    with stages.stage("merge") as stage:
        merged = merge(
            said,
            rules=rules,
            verbatim=[source.name for source in sources if source.reader in VERBATIM],
            previous=Previous.read(settings.releases / parent) if parent else None,
        )
        stage.result = f"{len(merged.concepts):,} concepts, {len(merged.names):,} names"
    kept.mkdir(parents=True, exist_ok=True)
    stages.console.print(summary(merged.report))
    write_report(merged.report, kept)
    stages.console.print(f"  What came in and what became of it: {kept / PAGE_FILE}")
    pq.write_table(merged.concepts, kept / CONCEPTS_FILE)
    pq.write_table(merged.names, kept / "unfinished")
    (kept / "unfinished").rename(kept / NAMES_FILE)  # last: its presence says that all are whole
    for source in sources:
        if source.reader == WIKIDATA:
            forget_slice(source, settings.cache)
    return merged.concepts, merged.names


def _rules(settings: BuildSettings) -> Hygiene:
    return Hygiene() if settings.dictionary else read_hygiene(settings.data / CONFIG_FILE)


def _ids_of(releases: Path, parent: str | None) -> str:
    """A digest of all that a merge takes from the parent release: its concepts."""
    return read_manifest(releases / parent).files[CONCEPTS_FILE].sha256 if parent else ""


def _sources(settings: BuildSettings, stages: Stages) -> list[SourceConfig]:
    """The sources of the snapshot, with what the settings put in place of them or beside them."""
    with stages.stage("checksums") as stage:
        if settings.dictionary:
            sources = [dictionary_source(settings.dictionary)]
        else:
            sources = read_sources(settings.data)
        if settings.umls:
            sources = with_umls(sources, settings.umls)
        files = [file for source in sources for file in source.files]
        size = sum(file.stat().st_size for file in files)
        stage.result = f"{len(files)} files, {size / 1e6:,.1f} MB"
    pulled = settings.wikidata or settings.endpoint
    if pulled and all(source.name != WIKIDATA for source in sources):
        raise BioelxError(f"{settings.data}: names no source {WIKIDATA!r} for {pulled} to replace")
    return sources


def _with_pulled_wikidata(
    sources: list[SourceConfig], settings: BuildSettings, stages: Stages
) -> list[SourceConfig]:
    """The sources, with a pull in place of the snapshot's slice of Wikidata if one is wanted."""
    folder = settings.wikidata
    if settings.endpoint:
        folder = pull_endpoint(
            settings.endpoint, settings.cache, user_agent=settings.user_agent, stages=stages
        )
    if folder is None:
        return sources
    return [pulled_source(each, folder) if each.name == WIKIDATA else each for each in sources]


def _records(
    sources: list[SourceConfig], settings: BuildSettings, stages: Stages
) -> Iterator[tuple[str, SourceConcept]]:
    """All records of all sources, each source a stage; none is held."""
    for source in sources:
        if source.reader == WIKIDATA:
            folder = pull_slice(source, settings.cache, stages=stages)
            source = replace(source, reader="pulled", files=(folder / RECORDS_FILE,))
        records = names = 0
        with stages.stage(source.name) as stage:
            for record in source.records():
                yield source.name, record
                stage.advance(1)
                records += 1
                names += len(record.names)
            stage.result = f"{records:,} records, {names:,} names"


def _selected(
    concepts: pa.Table, names: pa.Table, settings: BuildSettings, stages: Stages
) -> tuple[pa.Table, pa.Table]:
    if settings.names_budget is None and not settings.types:
        return concepts, names
    with stages.stage("select") as stage:
        part = select(concepts, names, names_budget=settings.names_budget, types=settings.types)
        stage.result = f"{len(part[0]):,} concepts, {len(part[1]):,} names"
    return part


def _write_tables(concepts: pa.Table, names: pa.Table, draft: Path) -> KnowledgeBase:
    for table, file in zip(prepare(concepts, names), (CONCEPTS_FILE, NAMES_FILE), strict=True):
        write_table(table, draft / file)
    return KnowledgeBase.open(draft)


def _encode(
    knowledge_base: KnowledgeBase, encoder: Encoder, cache: Path, stages: Stages
) -> npt.NDArray[np.float32]:
    texts = knowledge_base.texts.to_pylist()
    with stages.stage("encode", total=len(texts)) as stage:
        vectors, encoded = encode_names(texts, encoder, cache / "vectors", stage.advance)
        stage.result = f"{encoded:,} of {len(texts):,} distinct names; the others were cached"
    return vectors


def _index(
    knowledge_base: KnowledgeBase,
    vectors: npt.NDArray[np.float32],
    encoder: Encoder,
    draft: Path,
    stages: Stages,
    *,
    exact: bool,
) -> tuple[NameIndex, IndexStamp]:
    with stages.stage("index") as stage:
        index = NameIndex.build(vectors, factory=EXACT_FACTORY if exact else None)
        index.save(draft)
        recall = recall_at(10, index, vectors, knowledge_base, encoder)
        stage.result = f"{index.factory}, {index.text_count:,} vectors, recall@10 {recall:.3f}"
    return index, IndexStamp(index.factory, index.text_count, round(recall, 4))


def _fit_confidence(
    knowledge_base: KnowledgeBase,
    index: NameIndex,
    vectors: npt.NDArray[np.float32],
    draft: Path,
    stages: Stages,
) -> None:
    with stages.stage("confidence") as stage:
        model = fit_confidence(knowledge_base, index, vectors)
        model.save(draft)
        stage.result = f"cosine x {model.score:.1f}, margin x {model.margin:.1f}"


def _copy_encoder(source: Path, target: Path) -> Path:
    """Copies the card and the files it names: all that the release needs to encode mentions."""
    read_card(source)  # whole, before anything is copied
    card = orjson.loads((source / CARD_FILE).read_bytes())
    for name in (CARD_FILE, *card["files"]):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return target


def _release(draft: Path, manifest: Manifest, settings: BuildSettings, stages: Stages) -> Manifest:
    with stages.stage("release") as stage:
        finished = finish_release(draft, manifest, settings.releases)
        if not settings.dictionary:
            activate(finished.id, settings.releases)
        stage.result = finished.id
    return finished


def _digest(value: object) -> str:
    encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
