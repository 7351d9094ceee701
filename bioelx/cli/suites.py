"""The suites that a finished release is measured on before it is activated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioelx.settings import home


def run_suites(release: Path, suites: Sequence[str], data: Path | None, stages: Any) -> None:
    """Evaluates a release on datasets, each a stage; what was evaluated before is not done again.

    The results are those of `bioelx eval run`, in BIOELX_HOME/evaluations.

    Args:
        release: its folder.
        data: the folder that holds the datasets.
        stages: of the job that this is part of.

    Raises:
        FileError: a file of a dataset is missing or malformed.
    """
    if data is None:
        return
    from bioelx_eval.datasets import DATASETS
    from bioelx_eval.harness import EvaluationSettings, ReleaseUnderTest, evaluate
    from bioelx_eval.report.files import read_run
    from bioelx_eval.report.table import percent, write_report
    from bioelx_eval.scores import SUBSETS
    from bioelx_eval.survey import survey

    settings = EvaluationSettings()
    tested = ReleaseUnderTest(str(release), settings)
    for name in suites:
        with stages.stage(name) as stage:
            examples = survey(DATASETS[name], data, ())
            folder = home() / "evaluations" / release.name / name
            folder.mkdir(parents=True, exist_ok=True)
            work = evaluate(examples, tested, folder, settings, advance=stage.advance)
            run = read_run(folder)
            write_report(run)
            stage.unchanged = not work.examples
            means = run.scores["scores"][SUBSETS[0].key]["macro"]["metrics"]
            stage.result = ", ".join(f"{name} {percent(e['value'])}" for name, e in means.items())
    tested.close()
