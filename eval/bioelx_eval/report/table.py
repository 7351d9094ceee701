"""The table of scores, laid out as papers print it: a column a group, then the means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from bioelx_eval.harness import Evaluation
from bioelx_eval.metrics import SubsetScores

REPORT_FILE = "report.md"
_NOTE = """\
Scores in percent; a hit is right if its id or one of its xrefs is one of the row's gold ids. \
*In release*: rows of which the release holds a gold id; the others count as wrong. \
*Covered*: the rows that the dataset's fixed list names, or, where it has none, those in the \
release. *Mention not a name*: without the rows whose mention is, after normalisation, a name of \
its gold concept in the release. *macro*: each column weighs the same; *micro*: each row does."""


def write_report(evaluation: Evaluation, folder: Path) -> None:
    """Writes `report.md`: what was measured on what, and the scores in percent."""
    header, blocks = _layout(evaluation)
    lines = [
        f"# {evaluation.dataset.title}",
        "",
        summary(evaluation),
        "",
        _markdown_row(["", *header]),
        _markdown_row(["---", *(["--:"] * len(header))]),
    ]
    for title, rows in blocks:
        lines.append(_markdown_row([f"**{title}**", *([""] * len(header))]))
        lines += [_markdown_row(row) for row in rows]
    (folder / REPORT_FILE).write_text("\n".join([*lines, "", _NOTE, ""]), encoding="utf-8")


def as_table(evaluation: Evaluation) -> Table:
    """The scores for a terminal."""
    header, blocks = _layout(evaluation)
    table = Table(title=evaluation.dataset.title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in header:
        table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    for title, rows in blocks:
        table.add_row(f"[bold]{title}")
        for row in rows:
            table.add_row(f"  {row[0]}", *row[1:])
    return table


def summary(evaluation: Evaluation) -> str:
    """One paragraph on the knowledge base behind the scores."""
    kb = evaluation.coverage
    return (
        f"Release {kb.release}: {kb.concepts:,} concepts, {kb.names:,} names; "
        f"{kb.scheme_ids:,} {kb.scheme} ids, whose concepts have {kb.scheme_names:,} names. "
        f"Encoder {kb.encoder} ({kb.encoder_fingerprint}), index {kb.index}, "
        f"rerank {evaluation.options.rerank}.{_skipped(evaluation)}{_partial(evaluation)}"
    )


def _skipped(evaluation: Evaluation) -> str:
    counts = [f"{n:,} because {reason}" for reason, n in sorted(evaluation.skipped.items())]
    return f" Mentions skipped: {'; '.join(counts)}." if counts else ""


def _partial(evaluation: Evaluation) -> str:
    """Says where files hold more or fewer rows than those published: scores then mislead."""
    everything = next(each for each in evaluation.scores if each.subset.key == "all")
    differ = [
        f"{group} {everything.groups[group].rows:,} of {published:,}"
        for group, published in evaluation.dataset.groups.items()
        if published is not None
        and group in everything.groups
        and everything.groups[group].rows != published
    ]
    return f" Not the published rows: {', '.join(differ)}." if differ else ""


def _layout(evaluation: Evaluation) -> tuple[list[str], list[tuple[str, list[list[str]]]]]:
    """The columns' names, and for each subset its title and rows (name, then cells)."""
    header = [*evaluation.scores[0].groups, "macro", "micro"]
    return header, [(each.subset.title, _rows(each, evaluation)) for each in evaluation.scores]


def _rows(scores: SubsetScores, evaluation: Evaluation) -> list[list[str]]:
    columns = [*scores.groups.values(), scores.macro, scores.micro]
    rows = [
        ["rows", *(str(column.rows) for column in columns)],
        ["in release", *(str(column.reachable) for column in columns)],
    ]
    for i, metric in enumerate(evaluation.metrics):
        rows.append([str(metric), *(_percent(column.values[i]) for column in columns)])
    return rows


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
