"""Links as messages."""

from __future__ import annotations

from bioelx.types import Candidate, Link
from bioelx.v1 import linker_pb2 as pb


def write_link(link: Link) -> bytes:
    """A link as its message serialised, without the mention's id."""
    message = pb.Link(confidence=link.confidence, candidates=map(_candidate, link.candidates))
    if link.concept_id is not None:
        message.concept_id = link.concept_id
    return message.SerializeToString()


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
