"""The journey of an evaluation: examples -> links of a release -> predictions -> scores.

`evaluate` reads from top to bottom. Linking is what costs time: finished batches are kept, so that
a run that was stopped or killed goes on from there, and predictions that are there already are
scored anew without linking.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from bioelx.errors import FileError
from bioelx.kb import KnowledgeBase
from bioelx.linker import Linker
from bioelx.ranking import Precision
from bioelx.ranking.card import AUTO_FILE
from bioelx.release import find_release, read_manifest
from bioelx.release.manifest import MANIFEST_FILE, stamp_file, stamp_files
from bioelx.types import LinkOptions, Rerank, Timing
from bioelx_eval.coverage import GoldConcepts, coverage_of
from bioelx_eval.datasets import Example
from bioelx_eval.error_kinds import ErrorKind
from bioelx_eval.journal import Journal, locked
from bioelx_eval.metrics import DEFAULT, Metric
from bioelx_eval.predictions import tabulate
from bioelx_eval.report.files import (
    SCHEMA,
    PredictionsFile,
    has_predictions,
    read_predictions,
    write_scores,
)
from bioelx_eval.scores import Rows, score
from bioelx_eval.survey import Survey, TrainingNames

BATCH = 1024  # mentions linked at once: the encoder finds texts of like length among them
RANKED_BATCH = 32  # where a ranker reads the context, which may take seconds a mention
MIN_TOP_K = 20  # candidates kept for a look at them, however few the metrics need


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How to evaluate."""

    metrics: tuple[Metric, ...] = DEFAULT
    rerank: Rerank = Rerank.NEVER
    ranker: str = ""
    """Folder or hub id; empty links by retrieval alone."""
    ranker_precision: Precision = "auto"
    training: TrainingNames | None = None
    threads: int = 0
    fresh: bool = False
    """Do the work again even where it is done."""

    @property
    def batch(self) -> int:
        """How many mentions are linked, and kept, at once."""
        return BATCH if self.rerank is Rerank.NEVER else RANKED_BATCH

    @property
    def link_options(self) -> LinkOptions:
        depths = (metric.depth for metric in self.metrics)
        return LinkOptions(top_k=max(MIN_TOP_K, *depths), rerank=self.rerank)


@dataclass(frozen=True, slots=True)
class Work:
    """What was linked in this process, and where the time went."""

    examples: int = 0
    timing: Timing = field(default_factory=Timing)

    def __add__(self, other: Work) -> Work:
        return Work(self.examples + other.examples, self.timing + other.timing)


class ReleaseUnderTest:
    """A release that is opened, and checked whole, only when something must be linked with it."""

    def __init__(self, release: str, settings: EvaluationSettings) -> None:
        """Finds a release by folder or id; empty takes the active one.

        Raises:
            NotFoundError: there is none.
            FileError: its manifest cannot be read.
        """
        self.folder = find_release(release)
        self.manifest = read_manifest(self.folder)
        self._settings = settings

    @cached_property
    def linker(self) -> Linker:
        return Linker.open(
            self.folder,
            threads=self._settings.threads,
            ranker=self._settings.ranker,
            ranker_precision=self._settings.ranker_precision,
        )

    @cached_property
    def knowledge_base(self) -> KnowledgeBase:
        opened = "linker" in self.__dict__
        return self.linker.knowledge_base if opened else KnowledgeBase.open(self.folder)

    def close(self) -> None:
        """Lets go of what was opened."""
        for name in ("linker", "knowledge_base"):
            self.__dict__.pop(name, None)


def evaluate(
    survey: Survey,
    release: ReleaseUnderTest,
    folder: Path,
    settings: EvaluationSettings,
    *,
    advance: Callable[[int], None] = lambda examples: None,
) -> Work:
    """Links a dataset's mentions with a release and scores the answers, into `folder`.

    Args:
        advance: is told how many more examples are done.

    Returns:
        What had to be linked for it.

    Raises:
        FileError: a file of the release is missing or damaged, the dataset has changed since its
            survey, or another run is at work on the folder.
    """
    fingerprint = _fingerprint(survey, release, settings)
    work = Work()
    with locked(folder):
        if settings.fresh or not has_predictions(folder, fingerprint):
            journal = Journal(folder, fingerprint, fresh=settings.fresh)
            work = _link(survey, release, settings, journal, advance)
            with PredictionsFile(folder, fingerprint) as file:
                for table in journal.tables():
                    file.add(table)
            journal.remove()
        predictions = read_predictions(folder)
        write_scores(_scores(survey, release, settings, predictions), folder)
    return work


def _link(
    survey: Survey,
    release: ReleaseUnderTest,
    settings: EvaluationSettings,
    journal: Journal,
    advance: Callable[[int], None],
) -> Work:
    """Links what the journal does not hold yet, a batch at a time."""
    linker, options = release.linker, settings.link_options
    gold = GoldConcepts.find(linker.knowledge_base, survey.gold)
    training = settings.training.keys if settings.training else ()
    work, examples = Work(), 0
    for number, batch in enumerate(_batches(survey.read(), settings.batch)):
        if number not in journal:
            queries = [query for example in batch for query in example.queries]
            with _collector_resting():
                linked = linker.link(queries, options)
                table = tabulate(batch, linked.links, gold, linker.knowledge_base, training)
            journal.keep(number, table)
            work += Work(len(batch), linked.timing)
        examples += len(batch)
        advance(len(batch))
    if examples != survey.examples:
        raise FileError(survey.place, "has changed while it was read: run again")
    return work


def _batches(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    while batch := list(islice(examples, size)):
        yield batch


@contextmanager
def _collector_resting() -> Iterator[None]:
    # A batch makes half a million objects and no cycle: to look for one took a third of its time.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _scores(
    survey: Survey,
    release: ReleaseUnderTest,
    settings: EvaluationSettings,
    predictions: pa.Table,
) -> dict[str, Any]:
    """The content of `scores.json`."""
    coverage = coverage_of(
        release.folder, release.manifest, release.knowledge_base, survey.dataset.scheme
    )
    rows = Rows.of(predictions, survey.groups)
    return {
        "dataset": survey.dataset.name,
        "knowledge_base": asdict(coverage),
        "options": {
            "top_k": settings.link_options.top_k,
            "rerank": settings.rerank,
            "ranker": Path(settings.ranker).name or None,
            "ranker_precision": settings.ranker_precision if settings.ranker else None,
            "training_names": settings.training.sha256 if settings.training else None,
        },
        "skipped": dict(sorted(survey.skipped.items())),
        "errors": _errors(predictions, survey.groups),
        "scores": {key: asdict(scores) for key, scores in score(rows, settings.metrics).items()},
    }


def _errors(predictions: pa.Table, groups: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many errors of each kind each group has."""
    counted = Counter(
        zip(predictions["error"].to_pylist(), predictions["group"].to_pylist(), strict=True)
    )
    return {kind.value: {group: counted[kind, group] for group in groups} for kind in ErrorKind}


def _fingerprint(survey: Survey, release: ReleaseUnderTest, settings: EvaluationSettings) -> str:
    """Names all that decides on the predictions; the metrics do not."""
    content = {
        "bioelx": version("bioelx"),
        "schema": SCHEMA,
        "dataset": survey.dataset.name,
        "examples": survey.sha256,
        "release": stamp_file(release.folder / MANIFEST_FILE).sha256,
        "options": settings.link_options,
        "batch": settings.batch,
        "ranker": _ranker_files(settings.ranker, settings.rerank),
        "ranker_precision": settings.ranker_precision,
        "training_names": settings.training.sha256 if settings.training else None,
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _ranker_files(ranker: str, rerank: Rerank) -> str | dict[str, str]:
    """The checksums of a ranker's files; of one on a hub only its id.

    What says when `auto` asks it counts for `auto` alone: it is chosen by runs of `always`.
    """
    folder = Path(ranker)
    if not (ranker and folder.is_dir()):
        return ranker
    stamps = {name: stamp.sha256 for name, stamp in stamp_files(folder).items()}
    if rerank is not Rerank.AUTO:
        stamps.pop(AUTO_FILE, None)
    return stamps
