"""A request's mentions on their way through the stages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from bioelx.linker import Mention
from bioelx.types import Candidate, Timing

if TYPE_CHECKING:
    from bioelx.service.engine import Engine

Answer = bytes | MemoryError
"""A serialised `Link` without its mention's id, or that there was no memory to find it."""


@dataclass(eq=False, slots=True)
class Item:
    """One mention, and what the stages have found for it so far."""

    job: Job
    at: int
    """Its place in the job."""
    mention: Mention
    vector: Any = None
    """float32 [dim]."""
    hits: Any = None
    """What `Linker.search` says of it."""
    tokens: Sequence[int] = ()
    """Of the encoder; none if what they are needed for is known."""
    candidates: Sequence[Candidate] = ()

    @property
    def cost(self) -> int:
        """In tokens; what needs no encoding is not for nothing."""
        return len(self.tokens) or 1


@dataclass(eq=False, slots=True)
class Job:
    """One caller's mentions, answered in one batch or over several."""

    engine: Engine
    caller: str
    deadline: float
    """On the clock of `time.monotonic`."""
    answers: list[Answer | None]
    items: list[Item] = field(default_factory=list)
    """The mentions that the cache has no answer for."""
    timing: Timing = field(default_factory=Timing)
    done: asyncio.Future[None] | None = None
    """Set by the event loop, once the job waits."""
    left: int = 0
    abandoned: bool = False

    @property
    def cost(self) -> int:
        return sum(item.cost for item in self.items)

    @property
    def gone(self) -> bool:
        """Nobody waits for it any more."""
        return self.abandoned or monotonic() >= self.deadline

    def receive(self, at: int, answer: Answer) -> None:
        """Takes the answer of one of its mentions; of one already answered it takes no notice."""
        if self.answers[at] is None:
            self.answers[at] = answer
            self.left -= 1
            if not self.left and self.done and not self.done.done():
                self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if self.done and not self.done.done():
            self.done.set_exception(error)
