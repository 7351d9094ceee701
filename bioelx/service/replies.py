"""From what the linker and the knowledge base say to replies."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from google.protobuf.timestamp_pb2 import Timestamp

from bioelx.errors import InvalidRequestError, NotFoundError, ServiceError
from bioelx.kb import KnowledgeBase
from bioelx.linker import LONGEST_TAG, Linker
from bioelx.service.caller import Caller
from bioelx.service.jobs import Answer
from bioelx.service.links import embed
from bioelx.service.requests import MOST_LISTED, LinkPlan, check_release
from bioelx.service.switch import SwitchRecord
from bioelx.settings import Limits
from bioelx.types import TYPES, Timing
from bioelx.v1 import linker_pb2 as pb

_DOCUMENTS = pb.LinkReply.DOCUMENTS_FIELD_NUMBER
_LINKS = pb.DocumentLinks.LINKS_FIELD_NUMBER

NO_MEMORY = "the server has no memory for this mention now; try again later"


def link_reply(plan: LinkPlan, answers: Iterable[Answer | None], timing: Timing) -> bytes:
    """A planned reply completed with the answers of its mentions: a LinkReply, serialised."""
    plan.reply.timing.CopyFrom(_timing(timing))
    of_mentions = iter(answers)
    documents = []
    for document in plan.documents:
        links = []
        for link, path in document.links:
            answer = b"" if link.HasField("error") else next(of_mentions)
            if not isinstance(answer, bytes):
                link.error.CopyFrom(pb.FieldError(field=path, message=NO_MEMORY))
                answer = b""
            links.append(embed(_LINKS, link.SerializeToString(), answer))
        documents.append(embed(_DOCUMENTS, document.answered.SerializeToString(), *links))
    return b"".join((plan.reply.SerializeToString(), *documents))


def search_reply(answer: Answer | None, release: str, timing: Timing) -> pb.SearchReply:
    """The reply to a search.

    Raises:
        ServiceError: there was no memory for it.
    """
    if not isinstance(answer, bytes):
        raise ServiceError("RESOURCE_EXHAUSTED", NO_MEMORY)
    candidates = pb.Link.FromString(answer).candidates
    return pb.SearchReply(candidates=candidates, release=release, timing=_timing(timing))


def concept_reply(request: pb.GetConceptRequest, linker: Linker) -> pb.GetConceptReply:
    """Answers with the concept of an id, an xref, or the successor of a retired id.

    Raises:
        InvalidRequestError: what was asked for is no CURIE.
        NotFoundError: no concept has it, or the release is not loaded.
    """
    check_release(request.release, linker)
    prefix, colon, local = request.concept_id.partition(":")
    if not (prefix and colon and local):
        raise InvalidRequestError("concept_id", "is not a CURIE, such as wikidata:Q12152")
    curie = f"{prefix.lower()}:{local}"
    kb = linker.knowledge_base
    row = kb.row_of(curie)
    rows = kb.rows_with_xref(curie) if row is None else [row]
    if not rows:
        raise NotFoundError("no concept has that id or xref")
    reply = pb.GetConceptReply(release=linker.manifest.id)
    reply.also.extend(kb.concept_id(other) for other in rows[1:])
    successor = kb.successor(rows[0])
    if successor != rows[0]:
        reply.retired_id = kb.concept_id(rows[0])
    reply.concept.CopyFrom(_concept(successor, kb))
    return reply


def info_reply(linker: Linker, limits: Limits) -> pb.InfoReply:
    manifest, kb = linker.manifest, linker.knowledge_base
    created = Timestamp()
    created.FromDatetime(manifest.created)
    return pb.InfoReply(
        version=version("bioelx"),
        release=manifest.id,
        loaded_releases=[manifest.id],
        release_created=created,
        concepts=manifest.concepts,
        names=manifest.names,
        sources=[
            pb.Source(name=source.name, snapshot=source.snapshot, licence=source.licence)
            for source in manifest.sources
        ],
        encoder=manifest.encoder.name,
        encoder_fingerprint=manifest.encoder.fingerprint,
        ranker=linker.ranker.name if linker.ranker else "",
        index=manifest.index.factory,
        default_min_confidence=linker.confidence.default_min_confidence,
        limits=pb.Limits(
            **limits.model_dump(), max_listed_options=MOST_LISTED, max_tag_chars=LONGEST_TAG
        ),
        types=TYPES,
        schemes=kb.schemes,
        languages=kb.languages,
        device=linker.encoder.device,
        search_index=_index(linker),
    )


def _index(linker: Linker) -> pb.Index:
    stamp, index = linker.manifest.index, linker.index
    return pb.Index(
        factory=stamp.factory,
        parameters=index.parameters,
        device=index.device,
        held_as=index.held_as,
        recall_at_10=stamp.recall_at_10,
        recall_at_50=stamp.recall_at_50,
        recall_device=stamp.device,
        note=index.note,
    )


def add_switches(reply: pb.InfoReply, loaded: Iterable[str], record: SwitchRecord) -> None:
    """Adds to `Info` what other releases a server has, takes on, or would not take."""
    del reply.loaded_releases[:]
    reply.loaded_releases.extend(loaded)
    reply.loading_release = record.loading
    reply.switches = record.switches
    reply.refusals = record.refusals
    if record.refused:
        reply.refused_release.id = record.refused.release
        reply.refused_release.reason = record.refused.reason
        reply.refused_release.time.FromDatetime(record.refused.time)


def add_quota(reply: pb.InfoReply, caller: Caller | None) -> None:
    """Adds to `Info` how much the one who asks for it may ask for."""
    if caller:
        reply.limits.caller_mentions_per_minute = caller.mentions_per_minute or 0
        reply.limits.caller_calls_in_flight = caller.calls_in_flight or 0


def _concept(row: int, kb: KnowledgeBase) -> pb.Concept:
    concept = kb.concept(row)
    message = pb.Concept(
        concept_id=concept.concept_id,
        label=concept.label,
        description=concept.description,
        types=concept.types,
        xrefs=concept.xrefs,
        status=concept.status,
        replaced_by=concept.replaced_by or "",
        names=(
            pb.Name(text=name.text, language=name.lang, kind=name.kind, source=name.source)
            for name in kb.names_of(row)
        ),
    )
    if concept.modified is not None:
        message.modified.FromDatetime(concept.modified)
    return message


def _timing(timing: Timing) -> pb.Timing:
    return pb.Timing(
        waiting_ms=timing.waiting * 1000,
        encoding_ms=timing.encoding * 1000,
        searching_ms=timing.searching * 1000,
        ranking_ms=timing.ranking * 1000,
    )
