"""Benchmarks that a finished release is measured on, or has to pass, before it is activated.

Results are those of `bioelx eval run`, in BIOELX_HOME/evaluations: what was evaluated before is not
done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bioelx.cli.gate import LISTED
from bioelx.errors import BioelxError
from bioelx.gate import Outcome
from bioelx.gate.check import EVALUATIONS
from bioelx.settings import home


def measure(release: Path, suites: Sequence[str], data: Path, stages: Any) -> None:
    """Evaluates a release on datasets, each a stage.

    Args:
        release: its folder.
        data: the folder that holds the datasets.
        stages: of the job that this is part of.

    Raises:
        FileError: a file of a dataset is missing or malformed.
    """
    from bioelx_eval.cli.options import parse_dataset
    from bioelx_eval.cli.run import evaluate_into
    from bioelx_eval.harness import EvaluationSettings, ReleaseUnderTest
    from bioelx_eval.report.table import percent
    from bioelx_eval.scores import SUBSETS
    from bioelx_eval.survey import survey

    settings = EvaluationSettings()
    tested = ReleaseUnderTest(str(release), settings)
    for name in suites:
        with stages.stage(name) as stage:
            examples = survey(parse_dataset(name), data)
            run, work = evaluate_into(
                home() / EVALUATIONS, examples, tested, settings, stage.advance
            )
            stage.unchanged = not work.examples
            means = run.scores["scores"][SUBSETS[0].key]["macro"]["metrics"]
            stage.result = ", ".join(f"{name} {percent(e['value'])}" for name, e in means.items())
    tested.close()


def refusals(
    suites: Sequence[str], data: Path, outcome: Outcome, margin: float, shown: Console
) -> list[str]:
    """Evaluates a release and the one that the gate compared it with; returns why the new one is
    refused, if it is.

    What is judged is R@1 over all mentions, each group weighing the same: by how much the release
    before is better, mention by mention.
    """
    from bioelx_eval.cli.options import parse_dataset, parse_subset
    from bioelx_eval.cli.run import evaluate_shown
    from bioelx_eval.compare import compare
    from bioelx_eval.harness import EvaluationSettings, ReleaseUnderTest
    from bioelx_eval.metrics import recall
    from bioelx_eval.report.comparison import as_tables, headline
    from bioelx_eval.survey import survey

    settings, metric, every = EvaluationSettings(), recall(1), parse_subset("all")
    releases = [
        ReleaseUnderTest(each, settings) for each in (outcome.baseline or "", outcome.release)
    ]
    found = []
    for examples in [survey(parse_dataset(name), data) for name in suites]:
        runs = []
        for tested in releases:
            try:
                run, _ = evaluate_shown(examples, tested, home() / EVALUATIONS, settings)
            except BioelxError as error:
                if tested is releases[-1]:
                    raise
                # A release of an earlier version: nothing can be compared with what cannot be read.
                shown.print(
                    f"not compared with {outcome.baseline}: {error}", soft_wrap=True, markup=False
                )
                return []
            tested.close()
            runs.append(run)
        compared = compare(runs[0], runs[1], [metric], [every])
        for sentence in headline(compared):
            shown.print(sentence, soft_wrap=True)
        for table in as_tables(compared, LISTED):
            shown.print(table)
        fall = compared.subsets[every.key].macro.metrics[metric.name].difference
        if fall is not None and fall > margin:
            found.append(
                f"{examples.dataset.name}: {metric.name} falls by {100 * fall:.1f} points, "
                f"allowed are {100 * margin:.1f}"
            )
    return found
