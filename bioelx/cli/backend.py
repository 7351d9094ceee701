"""Who answers the commands: a server, or a linker in this very process."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Unpack

from bioelx.client import Client, Options, link_request, search_request
from bioelx.credentials import Credentials
from bioelx.linker import Linker
from bioelx.service.links import write_link
from bioelx.service.replies import concept_reply, info_reply, link_reply, search_reply
from bioelx.service.requests import plan_link, plan_search
from bioelx.settings import Limits, read_settings
from bioelx.v1 import linker_pb2 as pb


class LocalClient:
    """Answers like a `Client` without a server, and like it may be shared by threads."""

    def __init__(self, linker: Linker) -> None:
        self._linker = linker
        self._limits = read_settings(Limits)
        self._one_at_a_time = Lock()

    def link(self, documents: Iterable[pb.Document], **options: Unpack[Options]) -> pb.LinkReply:
        plan = plan_link(link_request(documents, **options), self._linker, self._limits)
        with self._one_at_a_time:
            linked = self._linker.link(plan.queries, plan.options)
        written = link_reply(plan, map(write_link, linked.links), linked.timing)
        return pb.LinkReply.FromString(written)

    def search(
        self, name: str, *, language: str = "", **options: Unpack[Options]
    ) -> pb.SearchReply:
        request = search_request(name, language, **options)
        mention = plan_search(request, self._linker, self._limits)
        with self._one_at_a_time:
            linked = self._linker.link([mention.query], mention.options)
        return search_reply(write_link(linked.links[0]), linked.release, linked.timing)

    def concept(self, concept_id: str) -> pb.GetConceptReply:
        return concept_reply(pb.GetConceptRequest(concept_id=concept_id), self._linker)

    def info(self) -> pb.InfoReply:
        return info_reply(self._linker, self._limits)


def open_backend(
    server: str, release: str, credentials: Credentials | None = None
) -> Client | LocalClient:
    """A client of `server`, or without one a linker of `release` (empty: the active one)."""
    if server:
        return Client(server, credentials=credentials)
    return LocalClient(Linker.open(release))
