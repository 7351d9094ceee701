"""`kill -9` at random moments of `bioelx update`: what is served stays whole, and the next run
finishes the job as if nothing had been."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bioelx.release import Manifest, active_release, list_releases, verify_release
from bioelx.settings import shipped
from bioelx_index.endpoint import local_endpoint


@dataclass
class Job:
    """`bioelx update` of a home in which a release is active, with something to do."""

    home: Path  # never changed: each run works in a copy
    options: tuple[str, ...]

    def copy(self, name: str) -> Path:
        # By hard links: nothing that a home holds is ever written to again.
        to = self.home.with_name(name)
        return Path(shutil.copytree(self.home, to, copy_function=os.link, symlinks=True))

    def start(self, home: Path, command: str = "update") -> subprocess.Popen[str]:
        """Returns once its first stage is over."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bioelx", command, *self.options],
            # What a handful of names makes of mentions that none of them is like is chance.
            env={**os.environ, "BIOELX_HOME": str(home), "BIOELX_GATE_MARGIN": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        assert "checksums" in process.stdout.readline()
        return process

    def run(self, home: Path, command: str = "update") -> float:
        """Runs it to its end; returns the seconds from the end of the first stage on."""
        process = self.start(home, command)
        began = time.monotonic()
        said, _ = process.communicate()
        assert process.returncode == 0, said
        return time.monotonic() - began


@pytest.fixture
def job(tmp_path: Path, small_snapshot: Path) -> Iterator[Job]:
    home = tmp_path / "home"
    home.mkdir()
    for part in ("models", "data"):
        (home / part).symlink_to(shipped(part))
    with local_endpoint(small_snapshot / "slice.nt", writable=True) as url:
        job = Job(home, ("--data", str(small_snapshot), "--endpoint", url))
        job.run(home, "build")
        label = "http://www.w3.org/2000/01/rdf-schema#label"
        update = f"""DELETE {{ ?item <{label}> "asthma"@en }}
            INSERT {{ ?item <{label}> "reactive airway"@en }}
            WHERE {{ ?item <{label}> "asthma"@en }}"""
        kind = {"Content-Type": "application/sparql-update"}
        address = url.replace("/query", "/update")
        request = urllib.request.Request(address, update.encode(), kind)
        urllib.request.urlopen(request, timeout=30).read()
        edit(small_snapshot, "hp.obo", "Pyrexia", "Febrile state")
        yield job


def edit(data: Path, file: str, old: str, new: str) -> None:
    before = (data / file).read_bytes()
    after = before.replace(old.encode(), new.encode())
    (data / file).write_bytes(after)
    catalogue = data / "sources.toml"
    sums = [hashlib.sha256(content).hexdigest() for content in (before, after)]
    catalogue.write_text(catalogue.read_text().replace(*sums))


def active(home: Path) -> Manifest:
    """The active release, every file of which is as its manifest says."""
    release = active_release(home / "releases")
    assert release
    return verify_release(home / "releases" / release)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_any_moment_an_update_is_finished_by_the_next_run(job: Job, kills: int) -> None:
    before = active(job.home)
    calm = job.copy("calm")
    seconds = job.run(calm)
    wanted = active(calm)
    assert wanted.parent == before.id

    moments = random.Random(kills)
    done = homes = 0
    while done < kills:
        home, finished = job.copy(f"home-{homes}"), False
        homes += 1
        while not finished and done < kills:
            process = job.start(home)
            try:
                process.wait(moments.uniform(0, seconds))
                finished = True
            except subprocess.TimeoutExpired:
                process.kill()
                done += 1
            process.communicate()
            if active(home).id != before.id:
                assert active(home).files == wanted.files
        if not finished:
            job.run(home)
        after = active(home)
        assert (after.files, after.recipe) == (wanted.files, wanted.recipe)
        assert list_releases(home / "releases") == [before.id, after.id]
    assert active(job.home) == before  # the copies have touched nothing of it
