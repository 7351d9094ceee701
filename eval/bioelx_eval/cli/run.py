"""`bioelx eval run`: link the mentions of benchmarks and score the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioelx.cli.output import console
from bioelx.kb import normalise
from bioelx.ranking import Precision
from bioelx.settings import home
from bioelx.types import Rerank
from bioelx_eval.cli.options import groups_named, make_folder, parse_dataset
from bioelx_eval.datasets import Dataset
from bioelx_eval.harness import EvaluationSettings, ReleaseUnderTest, Work, evaluate
from bioelx_eval.metrics import DEFAULT, parse_metric
from bioelx_eval.report import auto
from bioelx_eval.report.files import Run, read_run
from bioelx_eval.report.table import REPORT_FILE, as_table, summary, write_overview, write_report
from bioelx_eval.survey import Survey, TrainingNames, survey

INTERRUPTED = 130  # the exit status of a command that Ctrl-C ended


def run(
    datasets: Annotated[
        list[Dataset],
        typer.Argument(parser=parse_dataset, metavar="DATASET...", help="Names in `eval list`."),
    ],
    data: Annotated[Path, typer.Option(help="Folder that holds the datasets.")],
    release: Annotated[
        list[str] | None,
        typer.Option(help="Id or folder; may be repeated. Default: the active release."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results. Default: BIOELX_HOME/evaluations.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            "--language",
            help="Only this group, as `eval list` names it, or all with this word in their name; "
            "may be repeated.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="R@k for any k, MRR, NIL precision, NIL recall, NIL F1, ECE or Brier; may be "
            f"repeated. Default: {', '.join(each.name for each in DEFAULT)}."
        ),
    ] = None,
    rerank: Annotated[
        Rerank, typer.Option(help="When the ranker reads the context.")
    ] = Rerank.NEVER,
    ranker: Annotated[
        str, typer.Option(help="Folder or hub id of a reranker, for --rerank auto or always.")
    ] = "",
    ranker_precision: Annotated[
        Precision,
        typer.Option(help="Of the reranker's weights; auto: bfloat16 on a GPU, float32 on a CPU."),
    ] = "auto",
    training_names: Annotated[
        Path | None,
        typer.Option(
            help="Text file, plain or .gz, of the names that the encoder was trained on, one a "
            "line: the unseen rows are then without these too."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="For encoding and search; 0: all cores.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do it again where it is done.")] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Do it again, encode the mentions' texts by themselves beside it, and say how "
            "many times as long the whole took.",
        ),
    ] = False,
) -> None:
    """Link the mentions of benchmarks and score the answers.

    Results go to OUT/RELEASE/DATASET: scores.json, predictions.parquet and report.md; one report
    of all that was asked for stands in OUT. A run that was stopped goes on where it was when the
    same command is given again.

    \b
    Examples:
      bioelx eval run xlbel mantra bc5cdr --data /data/benchmarks
      bioelx eval run xlbel --data /data/benchmarks --release OLD --release NEW
      bioelx eval run bc5cdr --data /data/benchmarks --rerank auto --ranker Qwen/Qwen3-Reranker-0.6B
    """
    started = perf_counter()
    if (rerank is Rerank.NEVER) == bool(ranker):
        raise typer.BadParameter("--ranker MODEL and --rerank auto or always need each other")
    settings = EvaluationSettings(
        metrics=tuple(dict.fromkeys(map(parse_metric, metric))) if metric else DEFAULT,
        rerank=rerank,
        ranker=ranker,
        ranker_precision=ranker_precision,
        training=TrainingNames.read(training_names) if training_names else None,
        threads=threads,
        fresh=fresh or measure,
    )
    chosen = {each.name: (each, groups_named(each, group or each.groups)) for each in datasets}
    releases = [ReleaseUnderTest(each, settings) for each in dict.fromkeys(release or [""])]
    out = out or home() / "evaluations"
    with Console(stderr=True).status("reading"):
        surveys = [survey(dataset, data, groups) for dataset, groups in chosen.values()]

    shown = console()
    runs: list[Run] = []
    work, alone = Work(), Alone()
    try:
        for tested in releases:
            for each in surveys:
                finished, linked = evaluate_shown(each, tested, out, settings)
                runs.append(finished)
                work += linked
                shown.print(as_table(runs[-1]))
                shown.print(summary(runs[-1]), soft_wrap=True)
                if curve := auto.curve_of(finished):
                    shown.print(auto.words(curve), soft_wrap=True)
            if measure:
                alone += _encode_alone(surveys, tested)
            tested.close()
    except KeyboardInterrupt:
        shown.print("Stopped; what is finished is kept: give the same command again to go on.")
        raise typer.Exit(INTERRUPTED) from None
    _write_reports(runs, out)
    seconds = perf_counter() - started - alone.seconds
    examples = sum(each.examples for each in surveys) * len(releases)
    shown.print(_account(examples, work, seconds), f"See {out}.", soft_wrap=True)
    if measure:
        shown.print(
            f"Their {alone.texts:,} distinct texts by themselves are encoded in "
            f"{alone.seconds:.1f} s: the whole took {seconds / alone.seconds:.2f} times as long.",
            soft_wrap=True,
        )


def _write_reports(runs: Sequence[Run], out: Path) -> None:
    """Writes the reports of all runs of this call."""
    from bioelx_eval.report.page import PAGE_FILE, write_report_page  # brings Matplotlib: slow

    write_overview(runs, out / REPORT_FILE)
    write_report_page(runs, out / PAGE_FILE)


@dataclass(frozen=True, slots=True)
class Alone:
    """What encoding takes where nothing else is done."""

    texts: int = 0
    seconds: float = 0.0

    def __add__(self, other: Alone) -> Alone:
        return Alone(self.texts + other.texts, self.seconds + other.seconds)


def _encode_alone(surveys: Sequence[Survey], tested: ReleaseUnderTest) -> Alone:
    queries = (query for each in surveys for example in each.read() for query in example.queries)
    texts = list(dict.fromkeys(normalise(query.mention) for query in queries))
    started = perf_counter()
    tested.linker.encoder.encode(texts)
    return Alone(len(texts), perf_counter() - started)


def evaluate_shown(
    examples: Survey, tested: ReleaseUnderTest, out: Path, settings: EvaluationSettings
) -> tuple[Run, Work]:
    """As `evaluate_into`, with a bar that shows how far it is and how long it will take."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(examples.dataset.title, total=examples.examples)
        return evaluate_into(out, examples, tested, settings, partial(progress.advance, task))


def evaluate_into(
    out: Path,
    examples: Survey,
    tested: ReleaseUnderTest,
    settings: EvaluationSettings,
    advance: Callable[[int], None],
) -> tuple[Run, Work]:
    """Evaluates a release on a dataset into OUT/RELEASE/DATASET, with its report.

    Args:
        advance: is told how many more examples are done.

    Returns:
        The finished run, and what had to be linked for it: of one that is there, nothing.
    """
    folder = make_folder(out / tested.manifest.id / examples.dataset.name)
    work = evaluate(examples, tested, folder, settings, advance=advance)
    finished = read_run(folder)
    write_report(finished, auto.markdown(finished))
    return finished, work


def _account(examples: int, work: Work, seconds: float) -> str:
    """How much was done, in what time, and what took it."""
    if not work.examples:
        return f"{examples:,} mentions were linked before (--fresh does it again)."
    before = f" ({examples - work.examples:,} more were linked before)"
    timing = work.timing
    parts = {
        "encoding": timing.encoding,
        "search": timing.searching,
        "ranking": timing.ranking,
        "rest": seconds - timing.encoding - timing.searching - timing.ranking,
    }
    shares = [f"{name} {part:.1f} s ({part / seconds:.0%})" for name, part in parts.items()]
    return (
        f"{work.examples:,} mentions{before if examples > work.examples else ''} in "
        f"{seconds:.1f} s: {', '.join(shares)}."
    )
