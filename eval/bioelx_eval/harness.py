"""An evaluation: dataset -> links of a release -> predictions -> scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bioelx.linker import Linker
from bioelx.release import find_release
from bioelx.types import Candidate, LinkOptions, Rerank
from bioelx_eval.coverage import Coverage, coverage_of, gold_rows, is_named
from bioelx_eval.datasets import Dataset, Example
from bioelx_eval.metrics import Outcome, Recall, SubsetScores, gold_rank, score

METRICS = (Recall(1), Recall(5), Recall(20))
OPTIONS = LinkOptions(top_k=max(metric.k for metric in METRICS), rerank=Rerank.NEVER)
BATCH = 512  # mentions linked at once: the encoder finds texts of like length among them


@dataclass(frozen=True, slots=True)
class Prediction:
    """One example with what the release made of it."""

    example: Example
    candidates: tuple[Candidate, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of one release on one dataset, and what they were taken on."""

    dataset: Dataset
    coverage: Coverage
    options: LinkOptions
    metrics: Sequence[Recall]
    scores: Sequence[SubsetScores]


def evaluate(
    dataset: Dataset,
    data: Path,
    release: str,
    keep: Callable[[Sequence[Prediction]], None],
    *,
    languages: Sequence[str] = (),
    threads: int = 0,
) -> Evaluation:
    """Links a dataset's mentions with a release, by retrieval alone, and scores the answers.

    Args:
        data: the folder that holds the dataset.
        release: folder or id of a release; empty takes the active one.
        keep: takes the predictions, a batch at a time and in the dataset's order.
        languages: of the dataset; empty takes all.

    Raises:
        FileError: a file of the dataset or the release is missing or malformed.
        NotFoundError: there is no such release.
    """
    languages = languages or tuple(dataset.examples)
    examples = dataset.read(dataset.locate(data), languages)
    folder = find_release(release)
    linker = Linker.open(folder, threads=threads)
    outcomes: list[Outcome] = []
    for predictions in predict(linker, examples):
        keep(predictions)
        outcomes += [prediction.outcome for prediction in predictions]
    return Evaluation(
        dataset,
        coverage_of(folder, linker.manifest, linker.knowledge_base, dataset.scheme),
        OPTIONS,
        METRICS,
        score(outcomes, METRICS, languages),
    )


def predict(linker: Linker, examples: Iterable[Example]) -> Iterator[list[Prediction]]:
    """Links examples, a batch at a time and in their order."""
    stream = iter(examples)
    while batch := list(islice(stream, BATCH)):
        linked = linker.link([example.query for example in batch], OPTIONS)
        yield [
            Prediction(example, link.candidates, _judge(linker, example, link.candidates))
            for example, link in zip(batch, linked.links, strict=True)
        ]


def _judge(linker: Linker, example: Example, candidates: Sequence[Candidate]) -> Outcome:
    rows = gold_rows(linker.knowledge_base, example.gold)
    return Outcome(
        language=example.language,
        rank=gold_rank(candidates, example.gold),
        covered=bool(rows) if example.covered is None else example.covered,
        reachable=bool(rows),
        named=is_named(linker.knowledge_base, example.query.mention, rows),
    )
