"""The offline journey: sources -> names -> knowledge base -> vectors -> index -> release.

`_run` reads from top to bottom, and so does `_made`, its middle; each step is one call into the
module that owns it. What a step made is kept, keyed by all that went into it, and so is every
vector: a build that was killed goes on in the step that it was in, and the next one does only what
has other inputs or settings.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from bioelx.confidence import CONFIDENCE_FILE, ConfidenceModel, Fit
from bioelx.confidence import SCHEMA as CONFIDENCE_SCHEMA
from bioelx.encoding import Encoder, open_encoder
from bioelx.encoding.encoder import CARD_FILE, read_card, read_held_out
from bioelx.errors import BioelxError, FileError, NotFoundError, needing
from bioelx.gate import activate_checked
from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, prepare, write_table
from bioelx.release import (
    EncoderStamp,
    IndexStamp,
    Manifest,
    active_release,
    draft_folder,
    list_releases,
)
from bioelx.release.canaries import write_canaries
from bioelx.release.manifest import read_manifest, stamp_file, utc_now
from bioelx.release.store import finish_release, previous_release
from bioelx.search.choice import EXACT_FACTORY
from bioelx.search.index import INDEX_FILE, NameIndex
from bioelx.settings import SHIPPED_ENCODER, shipped
from bioelx_index.calibrate import SAMPLE, fit_confidence
from bioelx_index.canaries import choose_canaries
from bioelx_index.holdings import tidy
from bioelx_index.kept import Kept, digest, in_use
from bioelx_index.merge import VERSION, Hygiene, Previous, merge, read
from bioelx_index.merge.hygiene import read_hygiene
from bioelx_index.merge.page import PAGE_FILE, summary, write_report
from bioelx_index.places import Places
from bioelx_index.progress import Stages
from bioelx_index.pulls import (
    is_in_hand,
    pull_endpoint,
    pull_since,
    pull_slice,
    put_aside,
)
from bioelx_index.recall import check_recall, exact_cosines, held_out, measure_recall
from bioelx_index.settings import BuildSettings
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
from bioelx_index.sources.wikidata.base import find_base
from bioelx_index.sources.wikidata.folder import RECORDS_FILE
from bioelx_index.subset import select
from bioelx_index.vectors import VECTORS, encode_names

_STAMP_FILE, _INDEX_STAMP = "stamp.json", TypeAdapter(IndexStamp)
_FIT = [CONFIDENCE_SCHEMA, SAMPLE]
"""How confidence is fitted: what is made by another fit is made anew."""

Evaluate = Callable[[Path], None]
"""Is given the folder of a finished release, before it is activated, to measure it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a build came to."""

    manifest: Manifest
    """Of the release that it made, or of the one that stands."""
    encoded: int = 0
    """Names that the encoder was given."""
    unchanged: bool = False
    """The release was there: nothing that it was made from has changed."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One build at work."""

    settings: BuildSettings
    places: Places
    stages: Stages
    kept: Kept
    parent: str | None
    """The active release: what ids come from."""
    before: Manifest | None
    """Of an update: the manifest of the release that it starts from."""

    @property
    def encoder(self) -> Path:
        """The folder of the encoder, unless one is trained."""
        if self.before:
            return self.places.releases / self.before.id / "encoder"
        return self.settings.encoder.folder or shipped(SHIPPED_ENCODER)

    @property
    def trains(self) -> bool:
        return self.settings.encoder.train and not self.before


def build(
    settings: BuildSettings,
    places: Places,
    stages: Stages,
    evaluate: Evaluate = lambda release: None,
) -> Outcome:
    """Runs the offline job and activates the release that it made.

    Where an earlier build made a release of the same inputs and settings, that stands, and no other
    is made. A release of a dictionary follows a published protocol: its ids are the dictionary's,
    not those of the active release, its index compares every name, and it is not activated.

    Raises:
        BioelxError: a source, the encoder or the disk is not as it should be, or the gate refuses
            the release, which then stands for a look at it.
    """
    parent = None if settings.dictionary else active_release(places.releases)
    return _run(_Job(settings, places, stages, Kept(places.cache), parent, None), evaluate)


def update(
    settings: BuildSettings,
    places: Places,
    stages: Stages,
    evaluate: Evaluate = lambda release: None,
) -> Outcome:
    """Builds the next release from what has changed since the active one, with its encoder.

    Of Wikidata only what changed is pulled, if the active release was built from a pull and the
    settings name an endpoint; if they name neither that nor a pull, Wikidata stays as it was.

    Raises:
        NotFoundError: no release is active.
        BioelxError: as `build`, or the settings leave out what the active release holds.
    """
    parent = active_release(places.releases)
    if parent is None:
        raise NotFoundError(f"no release is active in {places.releases}: run 'bioelx build' first")
    if settings.dictionary:
        raise BioelxError("dictionary: an update follows sources; build the dictionary anew")
    before = read_manifest(places.releases / parent)
    return _run(_Job(settings, places, stages, Kept(places.cache), parent, before), evaluate)


def _run(job: _Job, evaluate: Evaluate) -> Outcome:
    with in_use(job.places.cache):
        sources = _sources(job)
        pulled = _pull_wikidata(job)
        sources = _with_pulled(sources, pulled)
        recipe = _recipe(job, sources)
        outcome = _standing(job, recipe) or _made(job, sources, recipe)
        evaluate(job.places.releases / outcome.manifest.id)
        _activate(job, outcome.manifest.id)
        if pulled and is_in_hand(pulled, job.places.cache):
            put_aside(pulled, outcome.manifest.id)
    tidy(job.places)
    return outcome


def _made(job: _Job, sources: list[SourceConfig], recipe: dict[str, str]) -> Outcome:
    """A new release."""
    with draft_folder(job.places.releases) as draft:
        concepts, names = _merged_tables(job, sources)
        concepts, names = _selected(job, concepts, names)
        knowledge_base = _write_tables(concepts, names, draft)
        encoder = _encoder(job, draft)
        vectors, encoded = _encode(job, knowledge_base, encoder)
        index, index_stamp = _index(job, knowledge_base, vectors, encoder, draft)
        _fit_confidence(job, knowledge_base, index, vectors, encoder, draft)
        write_canaries(choose_canaries(knowledge_base, index, encoder), draft)
        manifest = Manifest(
            id="",
            created=utc_now(),
            parent=job.parent,
            sources=tuple(source.stamp() for source in sources),
            encoder=EncoderStamp(
                encoder.card.name, encoder.card.fingerprint, encoder.card.dimension
            ),
            index=index_stamp,
            concepts=knowledge_base.concept_count,
            names=knowledge_base.name_count,
            recipe=recipe,
        )
        with job.stages.stage("release") as stage:
            finished = finish_release(draft, manifest, job.places.releases)
            stage.result = finished.id
    return Outcome(finished, encoded)


# What it is made from


def _sources(job: _Job) -> list[SourceConfig]:
    """The sources of the snapshot, with what the settings put in place of them or beside them."""
    settings = job.settings
    with job.stages.stage("checksums") as stage:
        if settings.dictionary:
            sources = [dictionary_source(settings.dictionary)]
        else:
            sources = read_sources(settings.data or shipped("data"))
        if settings.umls:
            sources = with_umls(sources, settings.umls)
        files = [file for source in sources for file in source.files]
        size = sum(file.stat().st_size for file in files)
        stage.result = f"{len(files)} files, {size / 1e6:,.1f} MB"
    pulled = settings.wikidata.pull or settings.wikidata.endpoint
    known = {source.name for source in sources}
    if pulled and WIKIDATA not in known:
        raise BioelxError(f"{settings.data}: names no source {WIKIDATA!r} for {pulled} to replace")
    if job.before:
        _check_follows(job.before, known, settings)
    return sources


def _check_follows(before: Manifest, known: set[str], settings: BuildSettings) -> None:
    """Nothing that the active release holds may go only because it was not named again."""
    if left := [source.name for source in before.sources if source.name not in known]:
        raise BioelxError(
            f"release {before.id} has names from {', '.join(left)}, which the settings leave out: "
            "name them as when it was built, or run 'bioelx build' to do without"
        )
    part = _part(settings)
    if before.recipe.get("select", part) != part:
        raise BioelxError(
            f"release {before.id} was built with [select] {before.recipe['select']}, the settings "
            f"say {part}: say the same, or run 'bioelx build' for another part"
        )


def _pull_wikidata(job: _Job) -> Path | None:
    """The folder of a pull of Wikidata that is to be used in place of the snapshot's slice."""
    wikidata, before = job.settings.wikidata, job.before
    if wikidata.pull:
        return wikidata.pull
    asking: dict[str, Any] = {"user_agent": wikidata.user_agent, "stages": job.stages}
    if before is None:
        if not wikidata.endpoint:
            return None
        return pull_endpoint(wikidata.endpoint, job.places.cache, **asking)
    if not wikidata.endpoint and not any(source.records for source in before.sources):
        return None
    base = find_base(job.places.releases / before.id, job.places.pulls)
    if not wikidata.endpoint:
        return base.folder
    return pull_since(base, wikidata.endpoint, job.places.cache, **asking)


def _with_pulled(sources: list[SourceConfig], folder: Path | None) -> list[SourceConfig]:
    if folder is None:
        return sources
    return [pulled_source(each, folder) if each.name == WIKIDATA else each for each in sources]


def _recipe(job: _Job, sources: list[SourceConfig]) -> dict[str, str]:
    """All that decides what the release holds, but for the ids of its parent."""
    recipe = {
        "bioelx": version("bioelx"),
        "sources": digest(_what_is_merged(job, sources)),
        "select": _part(job.settings),
        "confidence": digest(_FIT),
        "index": digest(job.settings.index.model_dump()),
    }
    if job.trains:
        return {**recipe, "encoder": digest([recipe, _training(job)])}
    own = digest([read_card(job.encoder).fingerprint, read_held_out(job.encoder)])
    # An update inherits how the encoder came to be: trained on what was there then.
    inherited = job.before.recipe.get("encoder") if job.before else None
    return {**recipe, "encoder": inherited or own}


def _what_is_merged(job: _Job, sources: list[SourceConfig]) -> list[Any]:
    content = [[source.name, source.reader, source.stamp().sha256] for source in sources]
    return [VERSION, _rules(job).model_dump(), content]


def _rules(job: _Job) -> Hygiene:
    if job.settings.dictionary:
        return Hygiene()
    return read_hygiene((job.settings.data or shipped("data")) / CONFIG_FILE)


def _part(settings: BuildSettings) -> str:
    return settings.select.model_dump_json(exclude_defaults=True)


def _standing(job: _Job, recipe: dict[str, str]) -> Outcome | None:
    """The release that was made of the same: the active one, or one that was made from it and not
    activated, because its build was killed or the gate refused it."""
    releases = job.places.releases
    for release in reversed(list_releases(releases)):
        try:
            manifest = read_manifest(releases / release)
        except FileError:  # another version's
            continue
        if manifest.recipe == recipe and job.parent in (release, manifest.parent):
            with job.stages.stage("release") as stage:
                stage.unchanged = True
                stage.result = f"nothing changed: release {release} stands"
            return Outcome(manifest, unchanged=True)
    return None


# The steps


def _merged_tables(job: _Job, sources: list[SourceConfig]) -> tuple[pa.Table, pa.Table]:
    """Reads and merges all sources, unless the same was merged before."""
    recipe = [_what_is_merged(job, sources), _ids_of(job)]
    with job.kept.result("merged", recipe) as result:
        page = result.folder / PAGE_FILE
        if result.whole:
            with job.stages.stage("merge") as stage:
                stage.unchanged, stage.result = True, f"see {page}"
        else:
            said = read(_records(job, sources), [source.name for source in sources])
            with job.stages.stage("merge") as stage:
                previous = job.places.releases / job.parent if job.parent else None
                merged = merge(
                    said,
                    rules=_rules(job),
                    verbatim=[source.name for source in sources if source.reader in VERBATIM],
                    previous=Previous.read(previous) if previous else None,
                )
                stage.result = f"{len(merged.concepts):,} concepts, {len(merged.names):,} names"
            job.stages.console.print(summary(merged.report))
            job.stages.console.print(f"  What came in and what became of it: {page}")
            write_report(merged.report, result.folder)
            pq.write_table(merged.concepts, result.folder / CONCEPTS_FILE)
            pq.write_table(merged.names, result.folder / NAMES_FILE)
            result.keep()
        return pq.read_table(result.folder / CONCEPTS_FILE), pq.read_table(
            result.folder / NAMES_FILE
        )


def _ids_of(job: _Job) -> str:
    """A digest of all that a merge takes from the parent release: its concepts."""
    if job.parent is None:
        return ""
    return stamp_file(job.places.releases / job.parent / CONCEPTS_FILE).sha256


def _records(job: _Job, sources: list[SourceConfig]) -> Iterator[tuple[str, SourceConcept]]:
    """All records of all sources, each source a stage; none is held."""
    for source in sources:
        if source.reader != WIKIDATA:
            yield from _records_of(job, source)
            continue
        [triples] = source.files
        with job.kept.result("slice", [triples.name, source.sha256[triples]]) as result:
            if not result.whole:
                pull_slice(source, result.folder, stages=job.stages)
                result.keep()
            files = (result.folder / RECORDS_FILE,)
            yield from _records_of(job, replace(source, reader="pulled", files=files))


def _records_of(job: _Job, source: SourceConfig) -> Iterator[tuple[str, SourceConcept]]:
    records = names = 0
    with job.stages.stage(source.name) as stage:
        for record in source.records():
            yield source.name, record
            stage.advance(1)
            records += 1
            names += len(record.names)
        stage.result = f"{records:,} records, {names:,} names"


def _selected(job: _Job, concepts: pa.Table, names: pa.Table) -> tuple[pa.Table, pa.Table]:
    wanted = job.settings.select
    if wanted.names is None and not wanted.types:
        return concepts, names
    with job.stages.stage("select") as stage:
        part = select(concepts, names, names_budget=wanted.names, types=wanted.types)
        if not len(part[1]):
            raise BioelxError(
                f"select: {_part(job.settings)} leaves none of {len(names):,} names: ask for more"
            )
        stage.result = f"{len(part[0]):,} concepts, {len(part[1]):,} names"
    return part


def _write_tables(concepts: pa.Table, names: pa.Table, draft: Path) -> KnowledgeBase:
    for table, file in zip(prepare(concepts, names), (CONCEPTS_FILE, NAMES_FILE), strict=True):
        write_table(table, draft / file)
    return KnowledgeBase.open(draft)


def _encoder(job: _Job, draft: Path) -> Encoder:
    """The draft's own copy is what encodes: whatever happens to the original meanwhile."""
    if job.trains:
        _train(job, draft)
    else:
        _copy_encoder(job.encoder, draft / "encoder")
    return open_encoder(draft / "encoder")


def _train(job: _Job, draft: Path) -> None:
    """Trains an encoder on the draft's names, unless that was done before, into the draft."""
    with job.kept.result("encoder", [_checksums(draft), _training(job)]) as result:
        if result.whole:
            with job.stages.stage("train") as stage:
                stage.unchanged = True
                stage.result = read_card(result.folder / "encoder").name
        else:
            with needing("train", "training"):
                from bioelx_index.train.encoder import train_encoder  # brings torch
            work = result.folder / "work"  # where a killed training goes on
            training, vectors = job.settings.encoder.training, job.places.cache / VECTORS
            trained = train_encoder(draft, training, work, job.stages, vectors)
            _copy_encoder(trained, result.folder / "encoder")
            shutil.rmtree(work)
            result.keep()
        _copy_encoder(result.folder / "encoder", draft / "encoder")


def _training(job: _Job) -> dict[str, Any]:
    return job.settings.encoder.training.model_dump(mode="json")


def _encode(
    job: _Job, knowledge_base: KnowledgeBase, encoder: Encoder
) -> tuple[npt.NDArray[np.float32], int]:
    texts = knowledge_base.texts.to_pylist()
    with job.stages.stage("encode", total=len(texts)) as stage:
        vectors, encoded = encode_names(texts, encoder, job.places.cache / VECTORS, stage.advance)
        stage.unchanged = not encoded
        stage.result = f"{encoded:,} of {len(texts):,} distinct names; the others were cached"
    return vectors, encoded


def _index(
    job: _Job,
    knowledge_base: KnowledgeBase,
    vectors: npt.NDArray[np.float32],
    encoder: Encoder,
    draft: Path,
) -> tuple[NameIndex, IndexStamp]:
    exact = job.settings.dictionary is not None and job.settings.umls is None
    factory, settings = EXACT_FACTORY if exact else "", job.settings.index
    recipe = [_checksums(draft), encoder.card.fingerprint, factory, settings.model_dump()]
    with job.stages.stage("index") as stage, job.kept.result("index", recipe) as result:
        stage.unchanged = result.whole
        if not result.whole:
            index = NameIndex.build(vectors, factory=factory, settings=settings)
            index.save(result.folder)
            queries = held_out(knowledge_base, encoder)
            recall = measure_recall(index, vectors, queries, exact_cosines(vectors, queries))
            check_recall(recall, index, settings.min_recall)
            made = IndexStamp(
                factory=index.factory,
                vectors=index.text_count,
                recall_at_10=round(recall.at_10, 4),
                recall_at_50=round(recall.at_50, 4),
                parameters=index.parameters,
                device=index.device,
            )
            (result.folder / _STAMP_FILE).write_bytes(_INDEX_STAMP.dump_json(made))
            result.keep()
        shutil.copyfile(result.folder / INDEX_FILE, draft / INDEX_FILE)
        stamp = _INDEX_STAMP.validate_json((result.folder / _STAMP_FILE).read_bytes())
        stage.result = (
            f"{stamp.factory} on {stamp.device}, {stamp.vectors:,} vectors, recall@10 "
            f"{stamp.recall_at_10:.3f}, @50 {stamp.recall_at_50:.3f}"
        )
    return NameIndex.open(draft, stamp.factory, stamp.parameters, settings=settings), stamp


def _fit_confidence(
    job: _Job,
    knowledge_base: KnowledgeBase,
    index: NameIndex,
    vectors: npt.NDArray[np.float32],
    encoder: Encoder,
    draft: Path,
) -> None:
    never_told = read_held_out(draft / "encoder")
    recipe = [*_FIT, _checksums(draft), encoder.card.fingerprint, index.factory]
    recipe.append(digest(never_told))
    with job.stages.stage("confidence") as stage, job.kept.result("confidence", recipe) as result:
        stage.unchanged = result.whole
        if not result.whole:
            model = fit_confidence(knowledge_base, index, vectors, encoder, never_told)
            model.save(result.folder)
            result.keep()
        shutil.copyfile(result.folder / CONFIDENCE_FILE, draft / CONFIDENCE_FILE)
        stage.result = _how_well(ConfidenceModel.open(draft).fit)


def _how_well(fit: Fit | None) -> str:
    if fit is None:
        return "too few names to measure it"
    return (
        f"ECE {fit.ece:.3f}, Brier {fit.brier:.3f}; NIL precision {fit.nil_precision:.2f}, recall "
        f"{fit.nil_recall:.2f}, on {fit.mentions:,} mentions of other concepts, {fit.nil:.0%} NIL"
    )


def _checksums(draft: Path) -> list[str]:
    """Of the draft's tables."""
    return [stamp_file(draft / file).sha256 for file in (CONCEPTS_FILE, NAMES_FILE)]


def _activate(job: _Job, release: str) -> None:
    """Makes the release the active one if it passes the gate."""
    releases = job.places.releases
    if job.settings.dictionary or release == job.parent:
        return
    with job.stages.stage("activate") as stage:
        if release == previous_release(releases):
            stage.unchanged = True
            stage.result = (
                f"not {release}: it was left for {job.parent}; "
                f"'bioelx release activate {release}' goes back to it"
            )
            return
        passed = activate_checked(release, releases, job.settings.gate.settings())
        if passed.refusal:
            raise BioelxError(
                f"release {release} stands and is not activated: {passed.summary}; "
                f"'bioelx release activate {release} --force' does it all the same"
            )
        stage.result = f"{release} is active; gate: {passed.summary}"


def _copy_encoder(source: Path, target: Path) -> Path:
    """Copies the card and the files it names: all that the release needs to encode mentions."""
    read_card(source)  # whole, before anything is copied
    card = orjson.loads((source / CARD_FILE).read_bytes())
    for name in (CARD_FILE, *card["files"]):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return target
