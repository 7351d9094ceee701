"""A pull from a dump, as a process of its own that is killed, and goes on."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bioelx_index.benchmark.entities import Filler, as_dump
from bioelx_index.sources.wikidata.folder import Pull, read_pull
from bioelx_index.sources.wikidata.selection import Selection

# Every item belongs, and every block becomes a part, so that it takes a while.
PROGRAM = """
import sys
from pathlib import Path
from rich.console import Console
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.dump import pull_dump
from bioelx_index.sources.wikidata.dump.pull import Sizes
from bioelx_index.sources.wikidata.selection import Selection

dump, folder, workers = sys.argv[1:]
pull_dump(
    Path(dump), Path(folder), Selection(everything=True), workers=int(workers),
    stages=Stages(Console(width=200)), sizes=Sizes(block=1 << 17, part=1),
)
"""


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "bz2": lambda data: bz2.compress(data, 1),
    "gz": gzip.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.fixture(scope="module")
def large() -> bytes:
    """A dump of 4 MB."""
    filler = Filler(("asthma", "천식", "Herzinfarkt"))
    return b"".join(as_dump(filler.line(number) for number in range(400)))


def start(dump: Path, folder: Path, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(dump), str(folder), str(workers)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits for something to happen, or for the process to end."""
    while not condition() and process.poll() is None:
        time.sleep(0.001)


def wait_until_gone(process: subprocess.Popen[str]) -> None:
    """Waits until no process of its group runs any more."""
    deadline = time.monotonic() + 20
    while running := _running(process.pid):
        assert time.monotonic() < deadline, running
        time.sleep(0.01)


def _running(group: int) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True)
    rows = (line.split(maxsplit=2) for line in listed.stdout.splitlines())
    return [args for pgid, status, args in rows if int(pgid) == group and status[0] != "Z"]


@pytest.mark.parametrize(
    ("packing", "workers", "kills"),
    [
        ("bz2", 2, 3),
        *(
            pytest.param(packing, workers, 12, marks=pytest.mark.long)
            for packing in ("", "bz2", "gz", "zst")
            for workers in (1, 2)
        ),
    ],
)
def test_killed_at_any_moment_it_comes_to_the_same_bytes(
    packing: str,
    workers: int,
    kills: int,
    large: bytes,
    tmp_path: Path,
    pull_from: Callable[..., Pull],
) -> None:
    dump, folder = tmp_path / "dump.json", tmp_path / "killed"
    dump.write_bytes(PACK[packing](large))
    chance, killed = random.Random(20261124), 0

    def parts() -> int:
        return len([*(folder / "work").glob("items-*.parquet")])

    for least in sorted([0, *chance.sample(range(1, 25), kills - 1)]):
        process = start(dump, folder, workers)
        wait_for(lambda least=least: parts() >= least, process)
        time.sleep(chance.random() / 50)
        process.kill()
        printed, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, printed
        wait_until_gone(process)
        killed += parts() > 0
    assert killed > kills / 2, "not killed while it was at work"
    printed, _ = start(dump, folder, workers).communicate(timeout=120)
    assert "goes on with dump.json at" in printed
    undisturbed = pull_from(dump, Selection(everything=True))
    assert read_pull(folder).sha256 == undisturbed.sha256
    records = [place / "records.parquet" for place in (folder, tmp_path / "pull")]
    assert records[0].read_bytes() == records[1].read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [
        "lock",
        "pull.json",
        "recipe.json",
        "records.parquet",
    ]


def test_ctrl_c_leaves_nothing_behind(
    large: bytes, tmp_path: Path, pull_from: Callable[..., Pull], said: io.StringIO
) -> None:
    dump, folder = tmp_path / "dump.json", tmp_path / "pull"
    dump.write_bytes(gzip.compress(large))
    process = start(dump, folder, 2)
    noted = folder / "work" / "read-items.json"
    wait_for(noted.exists, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert printed.rstrip().endswith("KeyboardInterrupt")
    assert printed.count("Traceback") == 1
    wait_until_gone(process)
    assert pull_from(dump, Selection(everything=True)).items == 400
    assert "goes on with dump.json at" in said.getvalue()
