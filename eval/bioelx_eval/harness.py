"""An evaluation: dataset -> links of a release -> predictions -> scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bioelx.linker import Linker
from bioelx.release import find_release
from bioelx.types import Candidate, LinkOptions, Rerank
from bioelx_eval.coverage import Coverage, coverage_of, gold_rows, is_named
from bioelx_eval.datasets import Dataset, Example, Skipped
from bioelx_eval.metrics import Outcome, Recall, SubsetScores, gold_rank, score

METRICS = (Recall(1), Recall(5), Recall(20))
OPTIONS = LinkOptions(top_k=max(metric.k for metric in METRICS), rerank=Rerank.NEVER)
BATCH = 512  # mentions linked at once: the encoder finds texts of like length among them


@dataclass(frozen=True, slots=True)
class Prediction:
    """One example with what the release made of it."""

    example: Example
    candidates: tuple[tuple[Candidate, ...], ...]
    """For each of the example's queries."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of one release on one dataset, and what they were taken on."""

    dataset: Dataset
    coverage: Coverage
    options: LinkOptions
    metrics: Sequence[Recall]
    scores: Sequence[SubsetScores]
    skipped: Mapping[str, int]
    """Mentions that could not be scored, by reason."""


def evaluate(
    dataset: Dataset,
    data: Path,
    release: str,
    keep: Callable[[Sequence[Prediction]], None],
    *,
    groups: Sequence[str] = (),
    threads: int = 0,
) -> Evaluation:
    """Links a dataset's mentions with a release, by retrieval alone, and scores the answers.

    Args:
        data: the folder that holds the dataset.
        release: folder or id of a release; empty takes the active one.
        keep: takes the predictions, a batch at a time and in the dataset's order.
        groups: of the dataset; empty takes all.

    Raises:
        FileError: a file of the dataset or the release is missing or malformed.
        NotFoundError: there is no such release.
    """
    groups = groups or tuple(dataset.groups)
    skipped: Counter[str] = Counter()
    examples = _scorable(dataset.read(dataset.locate(data), groups), skipped)
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
        score(outcomes, METRICS, groups),
        skipped,
    )


def predict(linker: Linker, examples: Iterable[Example]) -> Iterator[list[Prediction]]:
    """Links examples, a batch at a time and in their order."""
    stream = iter(examples)
    while batch := list(islice(stream, BATCH)):
        queries = [query for example in batch for query in example.queries]
        links = iter(linker.link(queries, OPTIONS).links)
        predictions = []
        for example in batch:
            candidates = tuple(next(links).candidates for _ in example.queries)
            predictions.append(Prediction(example, candidates, _judge(linker, example, candidates)))
        yield predictions


def _scorable(read: Iterable[Example | Skipped], skipped: Counter[str]) -> Iterator[Example]:
    for each in read:
        if isinstance(each, Skipped):
            skipped[each.reason] += 1
        else:
            yield each


def _judge(linker: Linker, example: Example, candidates: Iterable[Iterable[Candidate]]) -> Outcome:
    rows = gold_rows(linker.knowledge_base, example.gold)
    ranks = [gold_rank(of_query, example.gold) for of_query in candidates]
    found = [rank for rank in ranks if rank is not None]
    return Outcome(
        group=example.group,
        rank=max(found) if len(found) == len(ranks) else None,  # of the part that comes last
        covered=bool(rows) if example.covered is None else example.covered,
        reachable=bool(rows),
        named=is_named(linker.knowledge_base, example.query.mention, rows),
    )
