"""The disk is full while a server is to switch: it goes on with what it has, and says why."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import repeat
from pathlib import Path

import pytest

from bioelx.client import Client
from bioelx.errors import FileError, ServiceError
from bioelx.release import activate, active_release, list_releases, previous_release
from bioelx.types import Query
from bioelx_eval.load.calls import OK, closed_loop, connected, sender
from bioelx_eval.load.draws import request_of
from bioelx_eval.speed.twin import twin_of

PREFIXES = ("", "b.")

FullDisk = Callable[[int], AbstractContextManager[None]]
"""Of a process: it can write nothing inside."""


@pytest.fixture(params=["limit", "small disk"])
def home_and_full_disk(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Path, FullDisk]]:
    """A home, and a way to fill its disk: for one process by a limit of what it may write, or for
    all, where one may mount a disk of its own."""
    if request.param == "limit":
        yield tmp_path, _limited
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m", "bioelx-test", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk")
    try:
        yield tmp_path, lambda pid: _filled(tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@contextmanager
def _limited(pid: int) -> Iterator[None]:
    """Also of its log: that fails too, and must stop nothing."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))
    assert shutil.disk_usage(disk).free == 0
    try:
        yield
    finally:
        filler.unlink()


async def test_a_server_that_cannot_move_the_pointer_goes_on_and_says_why(
    home_and_full_disk: tuple[Path, FullDisk], tiny_release: Path, start_server
) -> None:
    home, full_disk = home_and_full_disk
    root = home / "releases"
    a, b = (twin_of(tiny_release, root, prefix).name for prefix in PREFIXES)
    activate(a, root)
    with start_server("--admin", home=home) as running, Client(running.address) as client:
        async with connected(running.address) as channel:
            asked = asyncio.Event()
            asked.set()

            def sends():
                """Calls until it is enough."""
                send = sender(channel, request_of([Query.bare("flue")]), 60)
                for each in repeat(send):
                    if not asked.is_set():
                        return
                    yield each

            calls = asyncio.create_task(closed_loop(sends(), 2))
            with full_disk(running.process.pid):
                for _ in range(2):
                    with pytest.raises(ServiceError, match=r"cannot be written") as caught:
                        await asyncio.to_thread(client.activate, b)
                    assert caught.value.code == "FAILED_PRECONDITION"
                info = await asyncio.to_thread(client.info)
            asked.clear()
            outcomes = await calls
        assert (info.release, info.refusals, info.switches) == (a, 2, 0)
        assert info.refused_release.id == b
        assert (active_release(root), previous_release(root)) == (a, None)
        assert outcomes
        assert {outcome.code for outcome in outcomes} == {OK}

        assert client.activate(b).active == b  # there is room again
        assert (client.info().release, active_release(root)) == (b, b)
        assert not list(root.glob("*.new"))


def test_a_command_that_cannot_move_the_pointer_says_so(tiny_release: Path, tmp_path: Path) -> None:
    root = tmp_path / "releases"
    a, b = (twin_of(tiny_release, root, prefix).name for prefix in PREFIXES)
    activate(b, root)
    activate(a, root)

    def without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-m", "bioelx", "release", "rollback"],
        env={**os.environ, "BIOELX_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=without_room,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written (File too large)" in done.stderr.splitlines()[-1]
    assert (active_release(root), previous_release(root)) == (a, b)


def test_a_release_that_does_not_fit_leaves_nothing_behind(
    tiny_release: Path, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    one = twin_of(tiny_release, tmp_path, "")
    held = sorted(tmp_path.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises((OSError, FileError)):
            twin_of(tiny_release, tmp_path, "b.")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list_releases(tmp_path) == [one.name]
    assert sorted(tmp_path.rglob("*")) == held
