"""Links as messages, serialised: what is large in a reply is written once, where the link is found,
and put into replies as it is. To parse it there and serialise all of a large reply at once would
hold the interpreter, and so every other call, for tenths of a second.
"""

from __future__ import annotations

from bioelx.types import Candidate, Link
from bioelx.v1 import linker_pb2 as pb


def write_link(link: Link) -> bytes:
    """A link as its message serialised, without the mention's id; the concept comes first."""
    message = pb.Link(confidence=link.confidence, candidates=map(_candidate, link.candidates))
    written = message.SerializeToString()
    if link.concept_id is None:
        return written
    return pb.Link(concept_id=link.concept_id).SerializeToString() + written


def has_concept(written: bytes) -> bool:
    """Whether a link that was written has a concept."""
    return written.startswith(_CONCEPT)


def embed(field: int, *parts: bytes) -> bytes:
    """A message as a field of another: its parts, each a message of its type, become one."""
    content = b"".join(parts)
    return b"".join((_varint(field << 3 | _BYTES), _varint(len(content)), content))


_BYTES = 2
"""Wire type of what has its length before it."""


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


_CONCEPT = _varint(pb.Link.CONCEPT_ID_FIELD_NUMBER << 3 | _BYTES)


def _candidate(candidate: Candidate) -> pb.Candidate:
    concept, matched = candidate.concept, candidate.matched
    return pb.Candidate(
        concept_id=concept.concept_id,
        label=candidate.label,
        label_language=candidate.label_language,
        types=concept.types,
        xrefs=concept.xrefs,
        matched=pb.MatchedName(
            text=matched.text,
            language=matched.lang,
            kind=matched.kind,
            source=matched.source,
            exact=candidate.exact,
        ),
        retrieval_score=candidate.retrieval_score,
        retrieval_rank=candidate.retrieval_rank,
        ranker_log_odds=candidate.ranker_log_odds,
        probability=candidate.probability,
        shares=[
            pb.Share(feature=share.feature, value=share.value, log_odds=share.log_odds)
            for share in candidate.shares
        ],
    )
