"""`bioelx link`: mentions of a file, or of standard input."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from bioelx.cli import options, output
from bioelx.cli.backend import LocalClient, open_backend
from bioelx.cli.documents import Entry, InputFormat, Problems, open_lines, read_documents
from bioelx.client import Client, Options
from bioelx.credentials import Credentials
from bioelx.errors import OverloadedError
from bioelx.types import Rerank
from bioelx.v1 import linker_pb2 as pb

_REQUEST_DOCUMENTS = 64
_REQUEST_MENTIONS = 512
_REQUEST_CHARS = 1_000_000  # at most 4 bytes each: well under the limit on messages
_REQUESTS_AHEAD = 3  # sent before the first is answered, so that nobody waits for us
_RETRIES = 10  # of an overloaded server

_COLUMNS = (("mention", 22), *output.CANDIDATE_COLUMNS)

STDIN = Path("-")

T = TypeVar("T")


@options.with_credentials
def link(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="- is standard input.")] = STDIN,
    form: Annotated[
        InputFormat, typer.Option("--format", help="Of the input.")
    ] = InputFormat.JSONL,
    server: options.Server = "",
    release: options.Release = "",
    language: options.Language = "",
    top_k: options.TopK = None,
    rerank: Annotated[
        Rerank, typer.Option(help="When the ranker reads the context.")
    ] = Rerank.AUTO,
    types: options.Types = None,
    schemes: options.Schemes = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="NIL below it. Default: the release's.")
    ] = None,
    label_languages: options.LabelLanguages = None,
    explain: options.Explain = False,
    out: options.Format = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
    *,
    credentials: Credentials,
) -> None:
    """Link mentions to concepts, line by line, in this process or on a server.

    \b
    Input is one JSON object a line, offsets in code points,
        {"id": "a", "text": "Bekannter Herzinfarkt.", "language": "de",
         "mentions": [{"id": "1", "start": 10, "end": 21}]}
        {"mention": "Herzinfarkt", "language": "de"}
    or, with --format text, one text a line with its mentions marked,
        Bekannter [[Herzinfarkt]], \\[[kein Mal\\]], ohne [[Fieber]].
    A text without mentions is one mention as a whole.

    \b
    Examples:
        bioelx link notes.jsonl > linked.jsonl
        bioelx link --format text --language de --output table notes.txt
        echo '{"mention": "kalp krizi"}' | bioelx link --server localhost:50051

    JSON output has one object for each document, in the input's order. A line that cannot be read
    or linked is told on standard error, the others go on, and the exit status is 1.
    """
    problems = Problems("standard input" if path == STDIN else str(path), strict=strict)
    backend = open_backend(server, release, credentials)
    wanted = options.link_options(
        server,
        release,
        top_k=top_k,
        rerank=rerank,
        types=types,
        schemes=schemes,
        min_confidence=min_confidence,
        label_languages=label_languages,
        explain=explain or None,
    )
    as_table = output.chosen(out) is options.Output.TABLE
    if as_table:
        output.print_header(_COLUMNS)
    entries = read_documents(open_lines(path), form, language, problems)
    batches = _batches(entries, backend.info().limits, problems)
    ahead = _REQUESTS_AHEAD if isinstance(backend, Client) else 1
    for batch, replies in _in_order(partial(_link, backend, wanted), batches, ahead):
        for entry, linked in zip(batch, replies, strict=True):
            _report_errors(entry, linked, problems)
            if as_table:
                _print_rows(entry, linked)
            else:
                output.print_json(_as_dict(entry, linked))
    if problems.count:
        typer.echo(f"bioelx: {problems.count} lines or mentions were not linked", err=True)
        raise typer.Exit(1)


def _batches(
    entries: Iterable[Entry], limits: pb.Limits, problems: Problems
) -> Iterator[list[Entry]]:
    """Gathers documents into requests within the limits; reports those that fit none."""
    max_documents = min(_REQUEST_DOCUMENTS, limits.max_documents)
    max_mentions = min(_REQUEST_MENTIONS, limits.max_mentions)
    batch: list[Entry] = []
    mentions = chars = 0
    for entry in entries:
        size, length = len(entry.spans()), len(entry.document.text)
        if size > limits.max_mentions:
            problems.report(entry.line, f"{size} mentions, more than {limits.max_mentions}")
            continue
        if length > limits.max_document_chars:
            problems.report(
                entry.line, f"{length} characters, more than {limits.max_document_chars}"
            )
            continue
        full = len(batch) == max_documents or mentions + size > max_mentions
        if batch and (full or chars + length > _REQUEST_CHARS):
            yield batch
            batch, mentions, chars = [], 0, 0
        batch.append(entry)
        mentions, chars = mentions + size, chars + length
    if batch:
        yield batch


def _link(
    backend: Client | LocalClient, wanted: Options, batch: list[Entry]
) -> Sequence[pb.DocumentLinks]:
    documents = [entry.document for entry in batch]
    for _ in range(_RETRIES):
        try:
            return backend.link(documents, **wanted).documents
        except OverloadedError as error:
            time.sleep(error.retry_after)
    return backend.link(documents, **wanted).documents


def _in_order(
    answer: Callable[[list[Entry]], T], batches: Iterable[list[Entry]], ahead: int
) -> Iterator[tuple[list[Entry], T]]:
    """Answers batches in their order, working on `ahead` of them while more are read."""
    running: deque[tuple[list[Entry], Future[T]]] = deque()
    with ThreadPoolExecutor(ahead) as pool:
        for batch in batches:
            running.append((batch, pool.submit(answer, batch)))
            if len(running) > ahead:
                done, future = running.popleft()
                yield done, future.result()
        for done, future in running:
            yield done, future.result()


def _report_errors(entry: Entry, linked: pb.DocumentLinks, problems: Problems) -> None:
    both: tuple[pb.DocumentLinks | pb.Link, ...] = (linked, *linked.links)
    for answered in both:
        if answered.HasField("error"):
            # The path starts with the document's place in the request, which is ours.
            field = answered.error.field.partition(".")[2]
            problems.report(entry.line, f"{field}: {answered.error.message}")


def _as_dict(entry: Entry, linked: pb.DocumentLinks) -> dict[str, Any]:
    text = entry.document.text
    links = []
    for (mention_id, start, end), answered in zip(entry.spans(), linked.links, strict=False):
        link: dict[str, Any] = {"id": mention_id, "start": start, "end": end}
        if answered.HasField("error"):
            link["error"] = _error_dict(answered.error)
        else:
            link["mention"] = text[start:end]
            link["concept_id"] = answered.concept_id if answered.HasField("concept_id") else None
            link["confidence"] = answered.confidence
            link["candidates"] = [output.candidate_dict(each) for each in answered.candidates]
        links.append(link)
    said: dict[str, Any] = {"id": entry.id, "line": entry.line, "links": links}
    if linked.HasField("error"):
        said["error"] = _error_dict(linked.error)
    return said


def _error_dict(error: pb.FieldError) -> dict[str, str]:
    return {"field": error.field.partition(".")[2], "message": error.message}


def _print_rows(entry: Entry, linked: pb.DocumentLinks) -> None:
    """One row a mention with its first candidate, the concept in brackets if it is NIL; below it
    what its confidence is made of, if that was asked for."""
    for (_, start, end), answered in zip(entry.spans(), linked.links, strict=False):
        if answered.candidates:
            concept, *rest = output.candidate_row(answered.candidates[0])
            concept = concept if answered.HasField("concept_id") else f"NIL ({concept})"
            row = (entry.document.text[start:end], concept, *rest)
        else:
            problem = "error" if answered.HasField("error") else "NIL"
            row = (entry.document.text[start:end], problem, "", "", "", "", "")
        output.print_row(row, _COLUMNS)
        output.print_shares(answered.candidates[:1])
