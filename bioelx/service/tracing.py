"""Whether calls are traced: the environment says so, by OpenTelemetry's own variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bioelx.errors import BioelxError

if TYPE_CHECKING:
    from bioelx.service.spans import Spans

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def open_spans() -> Spans | None:
    """What traces calls, or None if the environment does not ask for it.

    Raises:
        BioelxError: it asks for an exporter or a protocol other than OTLP over gRPC.
        InstallationError: OpenTelemetry is not installed.
    """
    if not _wanted():
        return None
    from bioelx.service.spans import Spans

    return Spans()


def _wanted() -> bool:
    exporter = os.environ.get(EXPORTER, "")
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        raise BioelxError(f"{EXPORTER}: is {exporter!r}; only otlp and none are known here")
    if not exporter and not any(os.environ.get(name) for name in ENDPOINTS):
        return False
    for name in PROTOCOLS:
        if (protocol := os.environ.get(name, "grpc")) != "grpc":
            raise BioelxError(f"{name}: is {protocol!r}; only grpc is known here")
    return True
