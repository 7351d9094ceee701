"""How fast a release loads, and what several servers of it hold together.

    python -m bioelx_eval.speed.memory [--release ID] [--servers 3]

Starts `bioelx serve` several times over, has each answer some searches, and adds up their
proportional set sizes (PSS): memory that several share counts for each with its share. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bioelx.client import Client
from bioelx.config import environment_of_own_server
from bioelx.errors import BioelxError
from bioelx.kb import KnowledgeBase
from bioelx.release import find_release

_SEARCHES = 200


class Held(NamedTuple):
    """Memory of a process, MB."""

    resident: float
    proportional: float
    own: float  # that no other process can share

    @classmethod
    def of(cls, pid: int) -> Held:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}
        return cls(sizes["Rss"], sizes["Pss"], sizes["Anonymous"])


@contextmanager
def _server(release: str) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A server of one thread, its address and the seconds until it was ready."""
    command = [sys.executable, "-m", "bioelx", "serve", "--port", "0", "--threads", "1"]
    started = perf_counter()
    process = subprocess.Popen(
        [*command, "--release", release],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment_of_own_server(),
    )
    try:
        announced = process.stdout.readline() if process.stdout else ""
        if not announced.startswith("serving "):
            raise BioelxError(f"bioelx serve --release {release} did not start")
        yield process, announced.split()[-1], perf_counter() - started
    finally:
        process.terminate()
        process.wait()


def measure(release: str, servers: int) -> None:
    """Starts the servers one after the other; says what all hold after each."""
    folder = find_release(release)
    kb = KnowledgeBase.open(folder)
    rows = range(0, kb.name_count, max(1, kb.name_count // _SEARCHES))
    mentions = [name.text[:-1] or name.text for name in kb.names(rows)]
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(f"{folder.name}: {files:.0f} MB of files, {kb.name_count:,} names")
    print("| servers | ready after, s | RSS of each, MB | of its own, MB | PSS of all, MB |")
    print("|---|---|---|---|---|", flush=True)
    running: list[int] = []
    with ExitStack() as stack:
        for _ in range(servers):
            process, address, seconds = stack.enter_context(_server(str(folder)))
            with Client(address, timeout=60) as client:
                for mention in mentions:
                    client.search(mention)
            running.append(process.pid)
            held = [Held.of(pid) for pid in running]
            print(
                f"| {len(held)} | {seconds:.1f} | {held[-1].resident:.0f} | {held[-1].own:.0f} "
                f"| {sum(each.proportional for each in held):.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_eval.speed.memory",
        description="Measures what several servers of one release hold together.",
    )
    parser.add_argument("--release", default="", help="id or folder; default: the active one")
    parser.add_argument("--servers", type=int, default=3)
    options = parser.parse_args()
    try:
        measure(options.release, options.servers)
    except BioelxError as error:
        sys.exit(f"memory: {error}")


if __name__ == "__main__":
    main()
