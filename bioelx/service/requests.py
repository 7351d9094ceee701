"""From requests to queries: everything a caller may get wrong is found here, and named.

What spoils a whole request is raised; what spoils one document or one mention is written into its
place in the reply, so that its neighbours are answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bioelx.errors import InvalidRequestError, NotFoundError
from bioelx.kb import normalise
from bioelx.linker import Linker, read_language
from bioelx.service.offsets import UNITS, Offsets
from bioelx.settings import Limits
from bioelx.types import LinkOptions, Query, Rerank
from bioelx.v1 import linker_pb2 as pb

_RERANK = {
    pb.RERANK_UNSPECIFIED: Rerank.AUTO,
    pb.RERANK_AUTO: Rerank.AUTO,
    pb.RERANK_ALWAYS: Rerank.ALWAYS,
    pb.RERANK_NEVER: Rerank.NEVER,
}


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A reply with its errors filled in, and the queries whose links are still to be written."""

    reply: pb.LinkReply
    options: LinkOptions
    queries: list[Query] = field(default_factory=list)
    slots: list[pb.Link] = field(default_factory=list)
    """The place in the reply of each query's link."""


def plan_link(request: pb.LinkRequest, linker: Linker, limits: Limits) -> LinkPlan:
    """Reads a request to link.

    Raises:
        InvalidRequestError: the request as a whole cannot be answered.
        NotFoundError: it asks for a release that is not loaded.
    """
    options = read_options(request.options, linker, limits)
    _check_size(request, limits)
    release = linker.manifest.id
    plan = LinkPlan(pb.LinkReply(id=request.id, release=release), options)
    for i, document in enumerate(request.documents):
        answered = plan.reply.documents.add(document_id=document.id)
        path = f"documents[{i}]"
        try:
            _check_document(document, path, limits)
        except InvalidRequestError as error:
            answered.error.CopyFrom(field_error(error))
            continue
        for mention_id, found in _read_mentions(document, path, limits):
            link = answered.links.add(mention_id=mention_id)
            if isinstance(found, InvalidRequestError):
                link.error.CopyFrom(field_error(found))
            else:
                plan.queries.append(found)
                plan.slots.append(link)
    return plan


def plan_search(
    request: pb.SearchRequest, linker: Linker, limits: Limits
) -> tuple[Query, LinkOptions]:
    """Reads a request to search; raises what `plan_link` raises."""
    options = read_options(request.options, linker, limits)
    _check_mention(request.name, "name", limits)
    if request.language:
        read_language(request.language, "language")
    if options.rerank is Rerank.AUTO:  # there is no context to read
        options = replace(options, rerank=Rerank.NEVER)
    return Query.bare(request.name, request.language), options


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


def _check_size(request: pb.LinkRequest, limits: Limits) -> None:
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
    seen: dict[str, int] = {}
    for i, document in enumerate(documents):
        if document.id and (first := seen.setdefault(document.id, i)) != i:
            raise InvalidRequestError(f"documents[{i}].id", f"is that of documents[{first}] too")


def _check_document(document: pb.Document, path: str, limits: Limits) -> None:
    if not document.text:
        raise InvalidRequestError(f"{path}.text", "is empty")
    if len(document.text) > limits.max_document_chars:
        raise InvalidRequestError(
            f"{path}.text",
            f"has {len(document.text)} code points, more than {limits.max_document_chars}",
        )
    if document.language:
        read_language(document.language, f"{path}.language")
    if document.offset_unit not in UNITS:
        raise InvalidRequestError(f"{path}.offset_unit", "is none of the values of OffsetUnit")


def _read_mentions(
    document: pb.Document, path: str, limits: Limits
) -> Iterator[tuple[str, Query | InvalidRequestError]]:
    """Yields each mention's id with its query, or with what is wrong with it."""
    if not document.mentions:
        try:
            _check_mention(document.text, f"{path}.text", limits)
            yield "", Query.bare(document.text, document.language)
        except InvalidRequestError as error:
            yield "", error
        return
    offsets = Offsets(document.text, document.offset_unit)
    seen: dict[str, int] = {}
    for j, mention in enumerate(document.mentions):
        here = f"{path}.mentions[{j}]"
        try:
            if mention.id and (first := seen.setdefault(mention.id, j)) != j:
                raise InvalidRequestError(f"{here}.id", f"is that of mentions[{first}] too")
            start, end = _read_span(mention, offsets, here)
            _check_mention(document.text[start:end], here, limits)
            yield mention.id, Query(document.text, start, end, document.language)
        except InvalidRequestError as error:
            yield mention.id, error


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


def _check_mention(mention: str, path: str, limits: Limits) -> None:
    if len(mention) > limits.max_mention_chars:
        raise InvalidRequestError(
            path,
            f"a mention of {len(mention)} code points, more than {limits.max_mention_chars}",
        )
    if not normalise(mention):
        raise InvalidRequestError(path, "has no visible character")
