"""From requests to queries: everything a caller may get wrong is found here, and named.

What spoils a whole request is raised; what spoils one document or one mention is written into its
place in the reply, so that its neighbours are answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bioelx.errors import InvalidRequestError, NotFoundError
from bioelx.kb import normalise
from bioelx.linker import Linker, Mention, read_language
from bioelx.service.offsets import UNITS, Offsets
from bioelx.settings import Limits
from bioelx.types import LinkOptions, Query, Rerank
from bioelx.v1 import linker_pb2 as pb

MOST_LISTED = 256
"""Types, schemes or languages that options may list: more would be repetitions, and each costs."""

_RERANK = {
    pb.RERANK_UNSPECIFIED: Rerank.AUTO,
    pb.RERANK_AUTO: Rerank.AUTO,
    pb.RERANK_ALWAYS: Rerank.ALWAYS,
    pb.RERANK_NEVER: Rerank.NEVER,
}


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """What can be said of a document before its mentions are linked."""

    answered: pb.DocumentLinks
    """Without links."""
    links: list[tuple[pb.Link, str]] = field(default_factory=list)
    """Each with its id or its error, and the path of its mention in the request."""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A reply with its errors filled in, and the mentions whose links are still to be written."""

    reply: pb.LinkReply
    """Without documents."""
    options: LinkOptions
    documents: list[PlannedDocument] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)
    """In the order of the links that have no error."""

    @property
    def queries(self) -> list[Query]:
        return [mention.query for mention in self.mentions]


class RequestSize(NamedTuple):
    """How much a request asks for."""

    mentions: int
    bytes: int
    """Of its message."""
    marked: int
    """Characters of all its mentions together; those of one place count as often as it is named."""
    problem: InvalidRequestError | None = None
    """Where it is empty or larger than is allowed; then nothing is counted but its bytes."""


def plan_link(request: pb.LinkRequest, linker: Linker, limits: Limits) -> LinkPlan:
    """Reads a request to link.

    Raises:
        InvalidRequestError: the request as a whole cannot be answered.
        NotFoundError: it asks for a release that is not loaded.
    """
    options = read_options(request.options, linker, limits)
    _count_mentions(request, limits)
    _check_ids(request)
    release = linker.manifest.id
    plan = LinkPlan(pb.LinkReply(id=request.id, release=release), options)
    for i, document in enumerate(request.documents):
        planned = PlannedDocument(pb.DocumentLinks(document_id=document.id))
        plan.documents.append(planned)
        path = f"documents[{i}]"
        try:
            language = _check_document(document, path, limits)
        except InvalidRequestError as error:
            planned.answered.error.CopyFrom(field_error(error))
            continue
        text = document.text
        for mention_id, here, found in _read_mentions(document, text, path, limits):
            link = pb.Link(mention_id=mention_id)
            planned.links.append((link, here))
            if isinstance(found, InvalidRequestError):
                link.error.CopyFrom(field_error(found))
            else:
                key, start, end = found
                query = Query(text, start, end, language)
                plan.mentions.append(Mention(key, query, options))
    return plan


def plan_search(request: pb.SearchRequest, linker: Linker, limits: Limits) -> Mention:
    """Reads a request to search; raises what `plan_link` raises."""
    options = read_options(request.options, linker, limits)
    key = _check_mention(request.name, "name", limits)
    language = read_language(request.language, "language") if request.language else ""
    if options.rerank is Rerank.AUTO:  # there is no context to read
        options = replace(options, rerank=Rerank.NEVER)
    return Mention(key, Query.bare(request.name, language), options)


def read_options(options: pb.LinkOptions, linker: Linker, limits: Limits) -> LinkOptions:
    """Reads the options of a request and checks that `linker` can honour them.

    Raises:
        InvalidRequestError: one of them is unknown or out of range.
        NotFoundError: the release asked for is not loaded.
    """
    check_release(options.release, linker)
    if options.top_k > limits.max_top_k:
        raise InvalidRequestError("options.top_k", f"must be at most {limits.max_top_k}")
    if options.rerank not in _RERANK:
        raise InvalidRequestError("options.rerank", "is none of the values of Rerank")
    for name in ("types", "schemes", "label_languages"):
        if (listed := len(getattr(options, name))) > MOST_LISTED:
            raise InvalidRequestError(f"options.{name}", f"are {listed}, more than {MOST_LISTED}")
    wanted = LinkOptions(
        top_k=options.top_k or limits.default_top_k,
        rerank=_RERANK[options.rerank],
        types=tuple(options.types),
        schemes=tuple(options.schemes),
        min_confidence=options.min_confidence if options.HasField("min_confidence") else None,
        label_languages=tuple(options.label_languages),
        explain=options.explain,
    )
    linker.check(wanted)
    return wanted


def check_release(release: str, linker: Linker) -> None:
    """Refuses a request pinned to another release.

    Raises:
        NotFoundError: naming the release that is loaded.
    """
    if release and release != linker.manifest.id:
        raise NotFoundError(f"that release is not loaded; loaded: {linker.manifest.id}")


def field_error(error: InvalidRequestError) -> pb.FieldError:
    return pb.FieldError(field=error.field, message=error.message)


def measure(request: pb.LinkRequest, limits: Limits) -> RequestSize:
    """Says how large a request is, before anything of it is read."""
    size = request.ByteSize()
    try:
        mentions = _count_mentions(request, limits)
    except InvalidRequestError as problem:
        return RequestSize(0, size, 0, problem)
    marked = sum(
        max(0, mention.end - mention.start)
        for document in request.documents
        for mention in document.mentions
    )
    return RequestSize(mentions, size, marked)


def _count_mentions(request: pb.LinkRequest, limits: Limits) -> int:
    """Raises InvalidRequestError where there are none, or more than are allowed."""
    documents = request.documents
    if not documents:
        raise InvalidRequestError("documents", "must hold at least one document")
    if len(documents) > limits.max_documents:
        raise InvalidRequestError(
            "documents", f"are {len(documents)}, more than {limits.max_documents}"
        )
    mentions = sum(len(document.mentions) or 1 for document in documents)
    if mentions > limits.max_mentions:
        raise InvalidRequestError(
            "documents", f"hold {mentions} mentions, more than {limits.max_mentions}"
        )
    return mentions


def _check_ids(request: pb.LinkRequest) -> None:
    seen: dict[str, int] = {}
    for i, document in enumerate(request.documents):
        if document.id and (first := seen.setdefault(document.id, i)) != i:
            raise InvalidRequestError(f"documents[{i}].id", f"is that of documents[{first}] too")


def _check_document(document: pb.Document, path: str, limits: Limits) -> str:
    """Returns the document's language in standard form."""
    if not document.text:
        raise InvalidRequestError(f"{path}.text", "is empty")
    if len(document.text) > limits.max_document_chars:
        raise InvalidRequestError(
            f"{path}.text",
            f"has {len(document.text)} code points, more than {limits.max_document_chars}",
        )
    language = document.language
    if language:
        language = read_language(language, f"{path}.language")
    if document.offset_unit not in UNITS:
        raise InvalidRequestError(f"{path}.offset_unit", "is none of the values of OffsetUnit")
    return language


def _read_mentions(
    document: pb.Document, text: str, path: str, limits: Limits
) -> Iterator[tuple[str, str, tuple[str, int, int] | InvalidRequestError]]:
    """Yields each mention's id and path with its normal form, start and end in code points, or
    with what is wrong with it.
    """
    if not document.mentions:
        here = f"{path}.text"
        try:
            yield "", here, (_check_mention(text, here, limits), 0, len(text))
        except InvalidRequestError as error:
            yield "", here, error
        return
    offsets = Offsets(text, document.offset_unit)
    seen: dict[str, int] = {}
    for j, mention in enumerate(document.mentions):
        here = f"{path}.mentions[{j}]"
        try:
            if mention.id and (first := seen.setdefault(mention.id, j)) != j:
                raise InvalidRequestError(f"{here}.id", f"is that of mentions[{first}] too")
            start, end = _read_span(mention, offsets, here)
            yield mention.id, here, (_check_mention(text[start:end], here, limits), start, end)
        except InvalidRequestError as error:
            yield mention.id, here, error


def _read_span(mention: pb.Mention, offsets: Offsets, path: str) -> tuple[int, int]:
    span = []
    for name in ("start", "end"):
        try:
            span.append(offsets.to_code_points(getattr(mention, name)))
        except ValueError as error:
            raise InvalidRequestError(f"{path}.{name}", str(error)) from None
    start, end = span
    if start >= end:
        problem = "the mention is empty" if start == end else "is before the start"
        raise InvalidRequestError(f"{path}.end", problem)
    return start, end


def _check_mention(mention: str, path: str, limits: Limits) -> str:
    """Returns the mention's normal form."""
    if len(mention) > limits.max_mention_chars:
        raise InvalidRequestError(
            path,
            f"a mention of {len(mention)} code points, more than {limits.max_mention_chars}",
        )
    key = normalise(mention)
    if not key:
        raise InvalidRequestError(path, "has no visible character")
    return key
