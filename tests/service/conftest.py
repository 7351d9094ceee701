"""The real linker, for tests that hold its steps back or make them fail."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bioelx.linker import Linker


class Scripted(Linker):
    """The real linker, whose steps can be held back and made to fail, and are written down."""

    def __init__(self, linker: Linker, ranker: Any = None) -> None:
        super().__init__(
            linker.manifest,
            linker.knowledge_base,
            linker.encoder,
            linker.index,
            linker.confidence,
            ranker,
        )
        self.embedded: list[int] = []
        self.searched: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.before_embedding: Callable[[Sequence[Sequence[int]]], None] = lambda tokens: None
        self.before_search: Callable[[list[str]], None] = lambda keys: None

    def embed(self, tokens):
        self.embedded.append(len(tokens))
        assert self.go.wait(30)
        self.before_embedding(tokens)
        return super().embed(tokens)

    def search(self, mentions, vectors):
        keys = [mention.key for mention in mentions]
        self.searched.append(keys)
        self.before_search(keys)
        return super().search(mentions, vectors)


class Hang:
    """A step that hangs until it is let go, in threads that can be made to die."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        """The idents of those that came to it."""
        self._over = threading.Event()

    def __call__(self, _: object) -> None:
        if not self._over.is_set():
            self.threads.append(threading.get_ident())
            while not self._over.wait(0.01):  # an exception is raised between two waits
                pass

    def kill_first(self) -> None:
        killed = ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.threads[0]), ctypes.py_object(SystemExit)
        )
        assert killed == 1

    def let_go(self) -> None:
        self._over.set()


@pytest.fixture
def hang() -> Hang:
    return Hang()


@pytest.fixture
def linker(tiny_linker: Linker) -> Scripted:
    return Scripted(tiny_linker)


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    """The class, for linkers with a ranker."""
    return Scripted
