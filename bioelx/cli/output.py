"""What the commands print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from bioelx.cli.options import Output
from bioelx.v1 import linker_pb2 as pb

CANDIDATE_COLUMNS = (
    ("concept", 24),
    ("label", 26),
    ("matched name", 26),
    ("lang", 5),
    ("score", 5),
    ("prob.", 5),
)


LOG_WIDTH = 150
_BAR = 30  # signs at most; each stands for one unit of log-odds


def console() -> Console:
    """A console on standard output, wide enough for tables where there is no terminal to ask."""
    shown = Console(highlight=False)
    if not shown.is_terminal:
        shown.width = LOG_WIDTH
    return shown


def chosen(output: Output | None) -> Output:
    return output or (Output.TABLE if sys.stdout.isatty() else Output.JSON)


def print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value))


def print_message(message: Message) -> None:
    print_json(
        MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


def print_row(cells: Iterable[str], columns: Sequence[tuple[str, int]]) -> None:
    """Prints one row of a table; rows go out one by one, however many there are."""
    row = (_fit(cell, width) for cell, (_, width) in zip(cells, columns, strict=True))
    typer.echo("  ".join(row).rstrip())


def print_header(columns: Sequence[tuple[str, int]]) -> None:
    print_row((name for name, _ in columns), columns)


def candidate_row(candidate: pb.Candidate) -> tuple[str, ...]:
    matched = candidate.matched
    return (
        candidate.concept_id,
        candidate.label,
        matched.text,
        matched.language,
        f"{candidate.retrieval_score:.3f}",
        f"{candidate.probability:.3f}",
    )


def print_shares(candidates: Iterable[pb.Candidate]) -> None:
    """Prints below a candidate's row what its probability is made of, if the reply says so: a line
    for each piece of evidence with what it adds to the log-odds, what was seen, and a bar."""
    for candidate in candidates:
        for share in candidate.shares:
            bar = ("+" if share.log_odds > 0 else "-") * min(_BAR, round(abs(share.log_odds)))
            typer.echo(f"    {share.feature:10}{share.value:9.3f}  {share.log_odds:+7.2f}  {bar}")


def candidate_dict(candidate: pb.Candidate) -> dict[str, Any]:
    matched = candidate.matched
    said = {
        "concept_id": candidate.concept_id,
        "label": candidate.label,
        "label_language": candidate.label_language,
        "types": list(candidate.types),
        "xrefs": list(candidate.xrefs),
        "matched": {
            "text": matched.text,
            "language": matched.language,
            "kind": matched.kind,
            "source": matched.source,
            "exact": matched.exact,
        },
        "retrieval_score": candidate.retrieval_score,
        "retrieval_rank": candidate.retrieval_rank,
        "probability": candidate.probability,
    }
    if candidate.HasField("ranker_log_odds"):
        said["ranker_log_odds"] = candidate.ranker_log_odds
    if candidate.shares:
        said["shares"] = [
            {"feature": share.feature, "value": share.value, "log_odds": share.log_odds}
            for share in candidate.shares
        ]
    return said


def _fit(text: str, width: int) -> str:
    """Exactly `width` columns of a terminal, without what would move its cursor."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    if cell_len(shown) > width:
        shown = set_cell_size(shown, width - 1) + "…"
    return set_cell_size(shown, width)
