"""Pools whose threads are there from the start."""

from __future__ import annotations

import threading

import pytest

from bioelx.service.threads import start_threads


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_all_are_there_before_there_is_work():
    pool = start_threads(3, "early")
    assert len(named("early")) == 3
    assert list(pool.map(abs, [-1, -2, -3, -4])) == [1, 2, 3, 4]
    assert len(named("early")) == 3
    pool.shutdown()
    assert not named("early")


def test_too_few_are_an_error_and_none_is_left(monkeypatch):
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if len(named("few")) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        start_threads(3, "few")
    for thread in named("few"):
        thread.join(30)
    assert not named("few")
