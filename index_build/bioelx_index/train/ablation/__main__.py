"""The journey of the table: lines -> questions -> each line trained, opened and asked -> table.

    python -m bioelx_index.train.ablation --lines docs/ablation.toml --set base=e5-cut --out FOLDER

A stopped run goes on at the same command, and a line whose settings, knowledge base and questions
are the same is not run again. Trained lines are asked as the int8 encoders that trainings export,
which is quicker on a CPU than the models themselves, and what serves.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from bioelx.encoding import open_encoder
from bioelx.encoding.encoder import read_card
from bioelx.errors import BioelxError, needing
from bioelx.kb.tables import NAMES_FILE
from bioelx.release import find_release
from bioelx.release.manifest import stamp_file
from bioelx.settings import home
from bioelx_index.progress import Stages
from bioelx_index.train.ablation.lines import Line, Table, read_table
from bioelx_index.train.ablation.methods import Method, encoded, exact, open_parent, trigrams
from bioelx_index.train.ablation.report import Result, write_report
from bioelx_index.train.ablation.trial import Answers, Questions, read_questions
from bioelx_index.train.settings import CHECKPOINTS, MODEL, TrainSettings, read_settings

ONE_IN = 8
_VERSION = 1  # of the way lines are asked: answers of another one are asked for again


@dataclass(frozen=True)
class Work:
    """Where the table is made, and from what."""

    tables: Path
    out: Path
    threads: int
    stages: Stages


def results_of(table: Table, questions: Questions, work: Work) -> Iterator[Result]:
    """The answers of every line, in their order: those that are kept, and those made now.

    Raises:
        BioelxError: a training or an encoder is not what it should be.
        InstallationError: there is a line to train, or a model to open, and no torch.
    """
    kept = _Kept(work.out / "results.jsonl")
    for line in table.lines:
        training = table.trainings.get(line.title)
        key = _digest(_VERSION, _what(line, training, work), line.look_up, questions.fingerprint)
        if (answers := kept.get(key)) is None:
            work.stages.console.rule(line.title)
            started = perf_counter()
            method = _method(line, training, questions, work)
            with work.stages.stage("ask") as stage:
                answers = questions.answer(method, look_up=line.look_up)
                stage.result = f"{len(answers.ranks):,} mentions, and held-out names"
            kept.add(key, line.title, answers, perf_counter() - started)
        yield Result(line, training, answers)


def _what(line: Line, training: TrainSettings | None, work: Work) -> list[Any]:
    """All that a line's vectors follow from."""
    if training:
        return ["training", _digest_of_training(training, work)]
    if line.encoder:
        return ["encoder", read_card(line.encoder).fingerprint, line.model is not None]
    return ["method", line.method]


def _digest_of_training(training: TrainSettings, work: Work) -> str:
    return _digest(training.model_dump(mode="json"), stamp_file(work.tables / NAMES_FILE).sha256)


def _method(line: Line, training: TrainSettings | None, questions: Questions, work: Work) -> Method:
    if line.method:
        return {"exact": exact, "trigrams": trigrams}[line.method]
    folder = _trained(training, work) if training else line.encoder
    assert folder
    if line.model:
        encoder = open_parent(line.model, folder, work.threads)
    else:
        encoder = open_encoder(folder, threads=work.threads)
    with work.stages.stage("encode", total=len(questions.texts)) as stage:
        method = encoded(encoder, questions.texts, work.out / "vectors", stage.advance)
        stage.result = f"{len(questions.texts):,} names and mentions"
    return method


def _trained(training: TrainSettings, work: Work) -> Path:
    """The encoder of a training, which goes on where it was stopped."""
    with needing("train", "training"):
        from bioelx_index.train.encoder import STABLE, train_encoder
    out = work.out / "trainings" / _digest_of_training(training, work)[:12]
    cache = home() / "cache" / "vectors"  # of a teacher: the same for all who ask it
    encoder = train_encoder(work.tables, training, out, work.stages, cache)
    for done_with in (CHECKPOINTS, STABLE, MODEL):  # a gigabyte a line
        shutil.rmtree(out / done_with, ignore_errors=True)
    return encoder


class _Kept:
    """Answers that were given, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_bytes().splitlines() if path.exists() else []
        self._answers: dict[str, Answers] = {}
        for line in lines:
            try:
                said = orjson.loads(line)
                answers = Answers(tuple(said["ranks"]), said["held_out"])
                self._answers[said["key"]] = answers
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue  # cut off by a kill: asked again

    def get(self, key: str) -> Answers | None:
        return self._answers.get(key)

    def add(self, key: str, title: str, answers: Answers, seconds: float) -> None:
        said = {"key": key, "title": title, "seconds": round(seconds, 1)}
        said |= {"ranks": answers.ranks, "held_out": answers.held_out}
        with self._path.open("ab") as stream:
            stream.write(b"\n" * bool(stream.tell()) + orjson.dumps(said))


def _digest(*said: object) -> str:
    return hashlib.sha256(orjson.dumps(said, default=str)).hexdigest()


def main(
    lines: Annotated[Path, typer.Option(help="TOML file of lines; docs/ablation.toml is one.")],
    out: Annotated[Path, typer.Option(help="Folder of trainings, answers and tables.")],
    data: Annotated[Path, typer.Option(help="Folder of benchmarks, with XL-BEL in it.")],
    release: Annotated[str, typer.Option(help="Default: the active one.")] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, a setting of all trainings; may be repeated."),
    ] = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH, in place of a folder named in the file; may be repeated."),
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(help="A finished training: three more lines, its model and its export."),
    ] = None,
    one_in: Annotated[
        int, typer.Option(min=1, help="Of the concepts not asked for, one in so many is kept.")
    ] = ONE_IN,
    threads: Annotated[int, typer.Option(help="Of an encoder; 0: all cores.")] = 0,
) -> None:
    """Train and ask every line of a table, over one knowledge base and the same questions."""
    stages = Stages(Console())
    try:
        given = {
            key: value.absolute() if isinstance(value, Path) else value
            for key, value in read_settings(None, setting or (), TrainSettings)
            .model_dump(exclude_unset=True)
            .items()
        }
        named = (each.partition("=") for each in folder or ())
        folders = {name: Path(path).absolute() for name, _, path in named}
        table = read_table(lines, given, folders, training)
        work = Work(find_release(release), out, threads, stages)
        out.mkdir(parents=True, exist_ok=True)
        with stages.stage("questions") as stage:
            questions = read_questions(
                work.tables, data, table.common, table.trainings.values(), one_in=one_in
            )
            kb = questions.knowledge_base
            stage.result = (
                f"{len(questions.mentions):,} mentions, {len(questions.names):,} names of "
                f"{kb.concept_count:,} concepts"
            )
        results = []
        for result in results_of(table, questions, work):
            results.append(result)
            write_report(results, questions, out)  # of what there is: lines take minutes
    except BioelxError as error:
        raise SystemExit(f"error: {error}") from None
    typer.echo((out / "ablation.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
