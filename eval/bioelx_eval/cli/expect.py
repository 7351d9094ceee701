"""`bioelx eval expect`: make finished runs the ones that later ones are checked against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx.errors import FileError
from bioelx.release import find_release, read_manifest
from bioelx_eval.cli.options import make_folder
from bioelx_eval.expected import EXPECTED, TOLERANCE, expected_of, write_expected
from bioelx_eval.report.files import Run, read_run


def expect(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of `eval run`: OUT/RELEASE/DATASET."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the files, one a dataset.", show_default=False)
    ] = EXPECTED,
    release: Annotated[
        str, typer.Option(help="Folder of the runs' release. Default: found by its id.")
    ] = "",
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="How far a score may be off, 0.01 for a point.")
    ] = TOLERANCE,
) -> None:
    """Write the scores of finished runs down as those that `eval reproduce` expects.

    A file holds the command, a fingerprint of the release and of the mentions, and all scores. Run
    with the metrics that you want in it.

    \b
    Examples:
      bioelx eval run xlbel mantra bc5cdr --data DIR --out OUT
      bioelx eval expect OUT/RELEASE/*
    """
    read = [read_run(run) for run in runs]
    make_folder(out)
    shown = console()
    for run in read:
        of_run = run.scores["knowledge_base"]["release"]
        manifest = read_manifest(find_release(release or of_run))
        if manifest.id != of_run:
            raise FileError(run.folder, f"is a run of {of_run}, not of {manifest.id}")
        path = out / f"{_name(run)}.yaml"
        write_expected(expected_of(run, manifest, tolerance), path)
        shown.print(f"{path}", soft_wrap=True)


def _name(run: Run) -> str:
    """`xlbel`, or `xlbel-auto-RANKER` where a ranker read the context."""
    options = run.scores["options"]
    ranked = [options["rerank"], options["ranker"]] if options["ranker"] else []
    return "-".join([run.scores["dataset"], *ranked])
