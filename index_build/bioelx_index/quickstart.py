"""The main job end to end, at small size: build a release, serve it, link real mentions."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import orjson
from rich.console import Console
from rich.table import Table

from bioelx.client import Client
from bioelx.config import environment_of_own_server
from bioelx.errors import FileError, SourceError
from bioelx.release import Manifest
from bioelx.settings import home, shipped
from bioelx.v1 import linker_pb2 as pb
from bioelx_index.build import build
from bioelx_index.endpoint import free_port
from bioelx_index.places import Places
from bioelx_index.progress import Stages
from bioelx_index.settings import BuildSettings, SelectSettings

NAMES_BUDGET = 100_000
TYPES = ("disease", "phenotype", "chemical", "anatomy")
_READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """A shipped mention in its sentence, with the CURIEs of the concept expected for it."""

    document: pb.Document
    mention: str
    expected: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server answered for one sample."""

    sample: Sample
    link: pb.Link
    milliseconds: float

    @property
    def is_expected(self) -> bool:
        if not self.link.candidates:
            return False
        first = self.link.candidates[0]
        return not self.sample.expected.isdisjoint({first.concept_id, *first.xrefs})


def quickstart(console: Console, *, keep: bool = False) -> bool:
    """Runs the whole job and returns whether enough mentions came out as expected.

    Args:
        keep: leave the server running and say how to call it.

    Raises:
        BioelxError: a step failed.
    """
    samples = read_samples(shipped("data/quickstart/mentions.jsonl"))
    floor = _read_floor(shipped("data/quickstart/floor.toml"))
    started = perf_counter()

    console.rule("Offline: sources to release")
    settings = BuildSettings(select=SelectSettings(names=NAMES_BUDGET, types=TYPES))
    manifest = build(settings, Places(home()), Stages(console)).manifest

    console.rule("Online: mentions to concepts")
    address = f"127.0.0.1:{free_port()}"
    with _server(address, manifest, keep=keep) as (pid, ready_seconds), Client(address) as client:
        console.print(f"  gRPC server ready at {address} after {ready_seconds:.1f} s")
        outcomes = [_link(client, sample) for sample in samples]
    console.print(_table(outcomes))

    right = sum(outcome.is_expected for outcome in outcomes)
    enough = right >= floor * len(outcomes)
    console.print(
        f"[bold]{right} of {len(outcomes)} mentions ({right / len(outcomes):.0%}) have the "
        f"expected concept in first place[/] (kept figure: at least {floor:.0%}) · "
        f"{manifest.concepts:,} concepts, {manifest.names:,} names · "
        f"{perf_counter() - started:.0f} s in all"
    )
    if keep:
        console.print(
            f"\nThe server runs on. Try:\n"
            f"  bioelx search 'kalp krizi' --server {address}\n"
            f"  bioelx info --server {address}\n"
            f"  grpcurl -plaintext {address} describe bioelx.v1.EntityLinker\n"
            f"Stop it with: kill {pid}"
        )
    return enough


def read_samples(path: Path) -> list[Sample]:
    """Reads the shipped mentions, one JSON object a line.

    Raises:
        FileError: a line is not such an object; it is named.
    """
    samples = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            raw = orjson.loads(line)
            if raw["text"][raw["start"] : raw["end"]] != raw["mention"]:
                raise FileError(path, "start and end do not enclose the mention", line=number)
            document = pb.Document(
                id=raw["id"],
                text=raw["text"],
                language=raw["language"],
                mentions=[pb.Mention(id=raw["id"], start=raw["start"], end=raw["end"])],
            )
            samples.append(Sample(document, raw["mention"], frozenset(raw["expected"])))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise FileError(path, f"not a sample ({error!r})", line=number) from None
    return samples


def _read_floor(path: Path) -> float:
    try:
        return float(tomllib.loads(path.read_text(encoding="utf-8"))["first_places"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise FileError(path, f"does not say first_places ({error!r})") from None


@contextmanager
def _server(address: str, manifest: Manifest, *, keep: bool) -> Iterator[tuple[int, float]]:
    """Runs `bioelx serve`; yields its process id and the seconds until it was healthy.

    When the block ends the server is stopped, unless it is to be kept and nothing failed.
    """
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "bioelx", "serve", "--port", port, "--release", manifest.id]
    started = perf_counter()
    with tempfile.NamedTemporaryFile(prefix="bioelx-serve-", suffix=".log", delete=False) as log:
        # Its own session: --keep outlives this process, and Ctrl-C here is ours to pass on.
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=environment_of_own_server(),
            start_new_session=True,
        )
    done = False
    try:
        with Client(address) as client:
            if not client.wait_ready(_READY_SECONDS):
                raise SourceError(f"the server did not become ready; its log is {log.name}")
        yield process.pid, perf_counter() - started
        done = True
    finally:
        if not (keep and done):
            process.terminate()
            process.wait(30)
            Path(log.name).unlink(missing_ok=True)


def _link(client: Client, sample: Sample) -> Outcome:
    started = perf_counter()
    reply = client.link([sample.document])
    return Outcome(sample, reply.documents[0].links[0], (perf_counter() - started) * 1000)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for column in ("language", "mention", "concept", "matched name"):
        table.add_column(column, overflow="fold")
    for column in ("score", "ms", "expected"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        first = outcome.link.candidates[0]
        table.add_row(
            outcome.sample.document.language,
            outcome.sample.mention,
            f"{first.label} [dim]{first.concept_id}[/]",
            f"{first.matched.text} [dim]{first.matched.language}[/]",
            f"{first.retrieval_score:.3f}",
            f"{outcome.milliseconds:.0f}",
            "[green]✓[/]" if outcome.is_expected else "[red]✗[/]",
        )
    return table
