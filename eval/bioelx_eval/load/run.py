"""The journey of a measurement: release -> one part of it -> findings."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from bioelx.kb import KnowledgeBase
from bioelx.release import find_release
from bioelx_eval.load.curve import measure_curve
from bioelx_eval.load.findings import Findings
from bioelx_eval.load.setting import LoadSettings, Setting
from bioelx_eval.load.soak import measure_soak
from bioelx_eval.load.throughput import measure_script, measure_transport
from bioelx_eval.load.zipf import measure_zipf

PARTS: dict[str, Callable[[Setting], Awaitable[Findings]]] = {
    "throughput": measure_transport,
    "script": measure_script,
    "zipf": measure_zipf,
    "curve": measure_curve,
    "soak": measure_soak,
}


def measure_load(
    settings: LoadSettings,
    part: str,
    say: Callable[[str], None] = lambda doing: None,
    advance: Callable[[float, float], None] = lambda done, total: None,
) -> Findings:
    """Measures one of `PARTS` with servers of its own, and stops them.

    Args:
        say: is told what is being prepared.
        advance: is told how much of how much is done.

    Raises:
        BioelxError: the release, the dataset or a model is not as it should be, or a process that
            is needed does not start.
    """
    release = find_release(settings.release)
    with tempfile.TemporaryDirectory(prefix="bioelx-load-") as scratch:
        kb = KnowledgeBase.open(release)
        setting = Setting(settings, release, kb, Path(scratch), say, advance)
        # As Ctrl-C: whoever is stopped leaves no server behind.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return asyncio.run(_measure(PARTS[part], setting))
        finally:
            signal.signal(signal.SIGTERM, before)


async def _measure(part: Callable[[Setting], Awaitable[Findings]], setting: Setting) -> Findings:
    return await part(setting)
