"""`bioelx eval reproduce`: run what scores were written down for, and compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bioelx.cli.output import console
from bioelx.errors import FileError
from bioelx.settings import home, shipped
from bioelx_eval.cli.run import evaluate_shown
from bioelx_eval.datasets import DATASETS
from bioelx_eval.expected import (
    EXPECTED,
    Check,
    Expected,
    Verdict,
    check,
    differences,
    read_expected,
)
from bioelx_eval.harness import EvaluationSettings, ReleaseUnderTest
from bioelx_eval.metrics import parse_metric
from bioelx_eval.report.table import new_table, percent, title
from bioelx_eval.scores import SUBSETS
from bioelx_eval.survey import TrainingNames, survey

_COLOURS = {Verdict.OK: "green", Verdict.CLOSE: "yellow", Verdict.FAIL: "red"}


def reproduce(
    data: Annotated[Path, typer.Option(help="Folder that holds the datasets.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Files of expected scores. Default: all in eval/expected."
        ),
    ] = None,
    release: Annotated[str, typer.Option(help="Id or folder; empty: the active one.")] = "",
    ranker: Annotated[
        str, typer.Option(help="Where the files' ranker is. Default: models/NAME, if shipped.")
    ] = "",
    training_names: Annotated[
        Path | None,
        typer.Option(help="The names that the encoder was trained on, where a file wants them."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results. Default: BIOELX_HOME/evaluations.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="For encoding and search; 0: all cores.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again where it is done.")] = False,
) -> None:
    """Run the evaluations whose scores are written down, and say of each score if it came out.

    OK: within the tolerance, on what the score was taken on. close: within the tolerance although
    something differs, which is then named, or within twice the tolerance. FAIL: neither; the exit
    status is then 1.

    \b
    Examples:
      bioelx eval reproduce --data /data/benchmarks
      bioelx eval reproduce --data /data/benchmarks eval/expected/xlbel.yaml
    """
    paths = files or sorted(EXPECTED.glob("*.yaml"))
    if not paths:
        raise FileError(EXPECTED, "holds no files of expected scores: name some")
    wanted = [(path, read_expected(path)) for path in paths]
    training = TrainingNames.read(training_names) if training_names else None
    with Console(stderr=True).status("reading"):
        surveys = [
            survey(DATASETS[expected.command.dataset], data, expected.command.groups)
            for _, expected in wanted
        ]
    shown = console()
    verdicts: list[Verdict] = []
    for (path, expected), examples in zip(wanted, surveys, strict=True):
        settings = _settings(path, expected, ranker, training, threads=threads, fresh=fresh)
        tested = ReleaseUnderTest(release, settings)
        place = _place(expected, out or home() / "evaluations")
        run, _ = evaluate_shown(examples, tested, place, settings)
        checks = check(expected, run, tested.manifest)
        verdicts += [each.verdict for each in checks]
        shown.print(_table(f"{path.name}: {title(run)}", checks))
        for difference in differences(expected, run, tested.manifest):
            shown.print(f"Differs: {difference}.", soft_wrap=True)
        shown.print(_count(path.name, [each.verdict for each in checks]), soft_wrap=True)
        tested.close()
    if len(paths) > 1:
        shown.print(_count("All", verdicts))
    if Verdict.FAIL in verdicts:
        raise typer.Exit(1)


def _settings(
    path: Path,
    expected: Expected,
    ranker: str,
    training: TrainingNames | None,
    *,
    threads: int,
    fresh: bool,
) -> EvaluationSettings:
    """What the command of a file says, with what this machine has for it."""
    command = expected.command
    return EvaluationSettings(
        metrics=tuple(map(parse_metric, command.metrics)),
        rerank=command.rerank,
        ranker=_find_ranker(path, command.ranker, ranker) if command.ranker else "",
        ranker_precision=command.ranker_precision,
        training=training if command.training_names else None,
        threads=threads,
        fresh=fresh,
    )


def _find_ranker(path: Path, name: str, given: str) -> str:
    if given:
        return given
    try:
        return str(shipped(f"models/{name}"))
    except FileError:
        raise FileError(path, f"needs --ranker FOLDER: where {name} is") from None


def _place(expected: Expected, out: Path) -> Path:
    """A folder for each way of ranking: one would undo the other's work."""
    command = expected.command
    return out / f"{command.rerank}-{command.ranker}" if command.ranker else out


def _table(title: str, checks: Sequence[Check]) -> Table:
    """The verdicts, a line for each metric over each subset of the rows."""
    columns = list(dict.fromkeys(each.column for each in checks))
    cells = {(each.subset, each.metric, each.column): _cell(each) for each in checks}
    table = new_table(title, columns)
    for subset in SUBSETS:
        metrics = dict.fromkeys(each.metric for each in checks if each.subset == subset.key)
        if metrics:
            table.add_row(f"[bold]{subset.title}")
        for metric in metrics:
            row = (cells.get((subset.key, metric, column), "") for column in columns)
            table.add_row(f"  {metric}", *row)
    return table


def _cell(each: Check) -> str:
    """The score with its verdict, and by how many points it is off where that is not OK."""
    verdict: str = each.verdict
    if each.verdict is not Verdict.OK and each.got is not None and each.expected is not None:
        verdict += f" {100 * (each.got - each.expected):+.1f}"
    return f"{percent(each.got)} [{_COLOURS[each.verdict]}]{verdict}[/]"


def _count(what: str, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdicts)
    return f"{what}: " + ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in Verdict)
