"""Who links: a script in a process of its own, or a real server asked over gRPC."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from bioelx.client import Client, document
from bioelx.config import environment_of_own_server
from bioelx.errors import BioelxError, InstallationError
from bioelx.kb import KnowledgeBase, normalise
from bioelx_eval.speed.inside import TOP_K
from bioelx_eval.speed.mentions import Mention

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request took, in seconds, and which of its mentions got a right concept first."""

    seconds: float
    encoding: float
    searching: float
    ranking: float
    right: tuple[bool, ...]


class System(Protocol):
    """Something that links mentions."""

    @property
    def title(self) -> str: ...

    def ask(self, mentions: Sequence[Mention]) -> Reply:
        """Links some mentions together."""
        ...


@dataclass(frozen=True, slots=True)
class Judge:
    """Says which mentions are linked right: to a concept, or to a name that a right one has."""

    knowledge_base: KnowledgeBase

    def __call__(self, mentions: Sequence[Mention], said: dict[str, Any]) -> tuple[bool, ...]:
        kb = self.knowledge_base
        found: list[set[int]]
        if "concepts" in said:
            rows = [kb.row_of(concept) for concept in said["concepts"]]
            found = [set() if row is None else {row} for row in rows]
        else:
            # Where several concepts have the nearest name, this is kind: any of them will do.
            found = [
                {int(kb.name_concept[row]) for row in kb.name_rows(name)} if name >= 0 else set()
                for name in said["names"]
            ]
        return tuple(bool(f & m.gold) for f, m in zip(found, mentions, strict=True))


@dataclass(frozen=True, slots=True)
class Script:
    """A process that answers a line of mentions with a line of times and answers."""

    title: str
    process: subprocess.Popen[str]
    log: Path
    written: Callable[[Mention], Any]
    """A mention as the script reads it."""
    judge: Judge

    def ask(self, mentions: Sequence[Mention]) -> Reply:
        """See `System.ask`; the times are the script's own, without the pipe between us."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([self.written(each) for each in mentions]) + "\n")
        self.process.stdin.flush()
        said = self.said()
        return Reply(
            said["seconds"],
            said["encoding"],
            said["searching"],
            said.get("ranking", 0.0),
            self.judge(mentions, said),
        )

    def said(self) -> dict[str, Any]:
        """The next line that the script says.

        Raises:
            BioelxError: it has ended instead; with the last lines of its log.
        """
        assert self.process.stdout
        if line := self.process.stdout.readline():
            return json.loads(line)
        last = "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-5:])
        raise BioelxError(f"{self.title}: the process ended\n{last}")


@dataclass(frozen=True, slots=True)
class Server:
    """A running `bioelx serve`, and one caller of it."""

    title: str
    client: Client
    rerank: str
    judge: Judge

    def ask(self, mentions: Sequence[Mention]) -> Reply:
        """See `System.ask`; the time is the caller's, from the call to the reply."""
        queries = [mention.query for mention in mentions]
        started = perf_counter()
        reply = self.client.link(
            (document(q.text, (q.start, q.end), language=q.language) for q in queries),
            top_k=TOP_K,
            rerank=self.rerank,
        )
        seconds = perf_counter() - started
        links = [link for answered in reply.documents for link in answered.links]
        timing = reply.timing
        return Reply(
            seconds,
            timing.encoding_ms / 1000,
            timing.searching_ms / 1000,
            timing.ranking_ms / 1000,
            self.judge(mentions, {"concepts": [each.candidates[0].concept_id for each in links]}),
        )


@contextmanager
def linker_inside(
    title: str, release: Path, judge: Judge, *, threads: int, ranker: str = ""
) -> Iterator[Script]:
    """The release's linker without a server.

    Raises:
        InstallationError: the ranker needs a package that is not installed.
    """
    arguments = ["-m", "bioelx_eval.speed.inside", str(release), str(threads), ranker]
    with _script(title, arguments, _with_context, judge, threads=threads) as script:
        yield script


@contextmanager
def naive_script(
    judge: Judge, *, model: Path, names: Path, vectors: Path, prefix: str, threads: int
) -> Iterator[System]:
    """The script that a user would write; it encodes `names` if there are no `vectors` yet."""
    arguments = ["-P", str(HERE / "naive.py"), str(model), str(names), str(vectors), prefix]
    title = "script: torch fp32, flat"
    shown = not vectors.exists()
    with _script(title, arguments, _alone, judge, threads=threads, show_log=shown) as script:
        yield script


@contextmanager
def trigram_script(judge: Judge, *, names: Path, threads: int) -> Iterator[System]:
    """scispaCy's way."""
    arguments = ["-P", str(HERE / "trigrams.py"), str(names)]
    with _script("3-grams, TF-IDF (exact)", arguments, _alone, judge, threads=threads) as script:
        yield script


@contextmanager
def server(
    title: str, release: Path, judge: Judge, *, threads: int, ranker: str = ""
) -> Iterator[System]:
    """The release behind a real `bioelx serve`.

    Raises:
        BioelxError: the server does not start; with the last lines of its log.
    """
    options = ["--release", str(release), *(["--ranker", ranker] if ranker else [])]
    with (
        running_server(options, threads=threads) as (address, _),
        Client(address, timeout=600) as client,
    ):
        yield Server(title, client, "always" if ranker else "never", judge)


@contextmanager
def running_server(
    options: Sequence[str], *, threads: int, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """A real `bioelx serve`: its address and the id of its process.

    Raises:
        BioelxError: it does not start; with the last lines of its log.
    """
    command = ["-m", "bioelx", "serve", "--port", "0", "--threads", str(threads), *options]
    with _process(command, threads=threads, environment=environment) as (process, log):
        assert process.stdout
        announced = process.stdout.readline().split()
        if announced[:1] != ["serving"]:
            last = "\n".join(log.read_text(encoding="utf-8").splitlines()[-5:])
            raise BioelxError(f"the server did not start\n{last}")
        yield announced[-1], process.pid


def _with_context(mention: Mention) -> Any:
    query = mention.query
    return [query.text, query.start, query.end, query.language]


def _alone(mention: Mention) -> str:
    return normalise(mention.query.mention)


@contextmanager
def _script(
    title: str,
    arguments: Sequence[str],
    written: Callable[[Mention], Any],
    judge: Judge,
    *,
    threads: int,
    show_log: bool = False,
) -> Iterator[Script]:
    with _process(arguments, threads=threads, show_log=show_log) as (process, log):
        script = Script(title, process, log, written, judge)
        if unavailable := script.said().get("unavailable"):
            raise InstallationError(unavailable)
        yield script


@contextmanager
def _process(
    arguments: Sequence[str],
    *,
    threads: int,
    show_log: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A Python process whose libraries share `threads` (0: all cores), and the file of its log."""
    variables = {**environment_of_own_server(), **(environment or {})}
    if threads:
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    else:
        variables.pop("OMP_NUM_THREADS", None)
    with tempfile.NamedTemporaryFile(prefix="bioelx-speed-", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if show_log else log,
            text=True,
            env=variables,
        )
        try:
            yield process, Path(log.name)
        finally:
            process.terminate()
            process.communicate()
