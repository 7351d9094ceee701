"""The methods of ReleaseAdmin: what there is, and which release is to answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bioelx.errors import BioelxError, InvalidRequestError
from bioelx.release import active_release, list_releases, read_manifest
from bioelx.service.engine import Engines
from bioelx.service.switch import Switch
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import ReleaseAdminServicer


class Admin(ReleaseAdminServicer):
    """Shows the releases of a folder, and switches between them."""

    def __init__(self, engines: Engines, switch: Switch, root: Path) -> None:
        self._engines = engines
        self._switch = switch
        self._root = root

    async def List(  # noqa: N802
        self, request: pb.ListReleasesRequest, context: Any
    ) -> pb.ListReleasesReply:
        releases = await asyncio.to_thread(_summaries, self._root)
        loaded, active = self._engines.loaded, self._engines.active.release
        for summary in releases:
            summary.active = summary.id == active
            summary.loaded = summary.id in loaded
        return pb.ListReleasesReply(releases=releases)

    async def Activate(  # noqa: N802
        self, request: pb.ActivateReleaseRequest, context: Any
    ) -> pb.ActivateReleaseReply:
        if not request.id:
            raise InvalidRequestError("id", "is needed: of the release to activate")
        previous = await self._switch.activate(request.id)
        return pb.ActivateReleaseReply(active=request.id, previous=previous)

    async def Rollback(  # noqa: N802
        self, request: pb.RollbackReleaseRequest, context: Any
    ) -> pb.ActivateReleaseReply:
        active, previous = await self._switch.roll_back()
        return pb.ActivateReleaseReply(active=active, previous=previous)


def _summaries(root: Path) -> list[pb.ReleaseSummary]:
    """Every finished release as its manifest tells, or with what is wrong with that."""
    try:
        current = active_release(root)
    except BioelxError:  # a damaged pointer names none; following it has said so
        current = None
    summaries = []
    for release in list_releases(root):
        summary = pb.ReleaseSummary(id=release, current=release == current)
        try:
            manifest = read_manifest(root / release)
        except BioelxError as error:
            summary.problem = str(error)
        else:
            summary.concepts, summary.names = manifest.concepts, manifest.names
            summary.created.FromDatetime(manifest.created)
        summaries.append(summary)
    return summaries
