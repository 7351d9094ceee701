"""From a pull of Wikidata to a release, and from that by its changes to the next one."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.cli.backend import open_backend
from bioelx.client import Client
from bioelx.errors import BioelxError, FileError
from bioelx.release import Manifest, find_release
from bioelx.settings import shipped
from bioelx.v1 import linker_pb2 as pb
from bioelx_index.build import build
from bioelx_index.places import Places
from bioelx_index.progress import Stages
from bioelx_index.settings import BuildSettings, WikidataSettings
from bioelx_index.sources.wikidata.base import find_base, open_base
from bioelx_index.sources.wikidata.folder import read_pull

DISEASE = 12136


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A BIOELX_HOME with what is shipped and nothing else."""
    folder = tmp_path / "home"
    folder.mkdir()
    for part in ("models", "data"):
        (folder / part).symlink_to(shipped(part))
    monkeypatch.setenv("BIOELX_HOME", str(folder))
    return folder


@pytest.fixture
def pull(home: Path, world: Any) -> Callable[..., Result]:
    """`bioelx pull wikidata` from the world's endpoint."""

    def run(*options: str) -> Result:
        return CliRunner().invoke(app, ["pull", "wikidata", "--endpoint", world.url, *options])

    return run


@pytest.fixture
def release(home: Path, small_snapshot: Path) -> Callable[[Path], Manifest]:
    """Builds and activates a release from a pull."""

    def run(folder: Path) -> Manifest:
        settings = BuildSettings(data=small_snapshot, wikidata=WikidataSettings(pull=folder))
        return build(settings, Places(home), Stages(Console(file=io.StringIO()))).manifest

    return run


@pytest.fixture
def first(world: Any, home: Path, pull: Callable, release: Callable) -> Manifest:
    """A release from a first pull, which lies in its usual place."""
    diseases = {1: "influenza", 2: "flu syndrome", 3: "leprosy", 4: "phlogiston lack"}
    for qid, label in diseases.items():
        world.create(qid, label, mesh=f"D{qid:06}", instance_of=(DISEASE,))
    world.items = {
        qid: replace(item, modified=item.modified - timedelta(days=30))
        for qid, item in world.items.items()
    }
    world.stream.messages.clear()
    world.publish()
    assert pull().exit_code == 0
    return release(home / "pulls" / "wikidata-sparql")


def change(world: Any) -> None:
    world.create(5, "dengue fever", mesh="D000005", instance_of=(DISEASE,))
    world.edit(3, german="Aussatz")
    world.merge(2, into=1)
    world.delete(4)
    world.publish()


IDS = [f"wikidata:Q{qid}" for qid in range(1, 6)]
"""Of the concepts that there ever were."""


def served(home: Path) -> list[pb.GetConceptReply]:
    """What a real server says of them."""
    command = [sys.executable, "-m", "bioelx", "serve", "--port", "0", "--threads", "1"]
    environment = {**os.environ, "BIOELX_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        assert server.stdout
        found = re.match(r"serving \S+ on (\S+)", server.stdout.readline())
        assert found
        with Client(found[1], timeout=30) as client:
            answers = [client.concept(each) for each in IDS]
        server.kill()
    return answers


def found(home: Path, query: str) -> list[str]:
    """The concepts that a search finds, the best first."""
    result = CliRunner().invoke(app, ["search", query, "--output", "json"])
    return [orjson.loads(line)["concept_id"] for line in result.stdout.splitlines()]


def stood(replies: list[pb.GetConceptReply]) -> dict[str, tuple[str, ...]]:
    """Which concept answered for each id, how it stands, and the id that it took over."""
    return {
        asked: (reply.concept.concept_id, reply.concept.status, reply.retired_id)
        for asked, reply in zip(IDS, replies, strict=True)
    }


def test_what_changed_reaches_the_next_releases(
    world: Any, home: Path, first: Manifest, pull: Callable, release: Callable
) -> None:
    change(world)
    result = pull("--since", "active", "--changes", "events", "--events", world.stream.url)
    assert result.exit_code == 0, result.output
    assert "1 created, 2 edited, 1 merged, 1 deleted" in result.output
    [folder] = [path for path in (home / "pulls").iterdir() if path.name != "wikidata-sparql"]
    second = release(folder)
    assert second.parent == first.id
    replies = served(home)
    assert stood(replies) == {
        "wikidata:Q1": ("wikidata:Q1", "active", ""),
        "wikidata:Q2": ("wikidata:Q1", "active", "wikidata:Q2"),
        "wikidata:Q3": ("wikidata:Q3", "active", ""),
        "wikidata:Q4": ("wikidata:Q4", "retired", ""),
        "wikidata:Q5": ("wikidata:Q5", "active", ""),
    }
    assert replies[3].concept.label == "phlogiston lack"
    assert found(home, "Aussatz")[0] == "wikidata:Q3"
    assert found(home, "dengue fever")[0] == "wikidata:Q5"
    assert found(home, "flu syndrome (merged)")[0] == "wikidata:Q1"

    # The manifest says where the next one goes on.
    pulled = read_pull(folder)
    [stamp] = [source for source in second.sources if source.name == "wikidata"]
    assert (stamp.started, stamp.records) == (pulled.started, pulled.sha256)
    assert stamp.last_event_id == pulled.last_event_id != ""
    assert find_base(home / "releases" / second.id, [home / "pulls"]).folder == folder

    world.merge(1, into=3)
    world.publish()
    result = pull("--since", second.id, "--out", str(home / "pulls" / "third"))
    assert result.exit_code == 0, result.output
    release(home / "pulls" / "third")
    local = open_backend(server="", release="")
    assert stood([local.concept(each) for each in IDS]) == {
        "wikidata:Q1": ("wikidata:Q3", "active", "wikidata:Q1"),
        "wikidata:Q2": ("wikidata:Q3", "active", "wikidata:Q2"),
        "wikidata:Q3": ("wikidata:Q3", "active", ""),
        "wikidata:Q4": ("wikidata:Q4", "retired", ""),
        "wikidata:Q5": ("wikidata:Q5", "active", ""),
    }


def test_a_base_is_found_by_its_records(home: Path, first: Manifest) -> None:
    folder = find_release(first.id)
    pulled, elsewhere = home / "pulls" / "wikidata-sparql", home / "cache" / "pulls"
    elsewhere.mkdir(parents=True)
    (home / "pulls" / "other").mkdir()
    (home / "pulls" / "other" / "pull.json").write_text('{"schema": 99}')
    places = [home / "pulls", elsewhere]
    assert find_base(folder, places).folder == pulled
    moved = pulled.rename(elsewhere / "any name")
    assert find_base(folder, places).folder == moved
    moved.rename(home / "away")
    with pytest.raises(BioelxError, match=rf"release {first.id} .* UTC that is not in .* --base"):
        find_base(folder, places)
    assert find_base(folder, places, folder=home / "away") == open_base(home / "away")


def test_another_pull_is_no_base(world: Any, home: Path, first: Manifest, pull: Callable) -> None:
    world.edit(3, german="Aussatz")
    world.publish()
    other = home / "other"
    assert pull("--out", str(other)).exit_code == 0
    result = pull("--since", first.id, "--base", str(other))
    assert isinstance(result.exception, FileError)
    assert f"is not the pull that release {first.id} was built from" in str(result.exception)


def test_without_a_release_a_pull_itself_is_brought_up_to_date(
    world: Any, home: Path, first: Manifest, pull: Callable
) -> None:
    change(world)
    result = pull("--base", str(home / "pulls" / "wikidata-sparql"), "--out", str(home / "new"))
    assert result.exit_code == 0
    assert read_pull(home / "new").notes["changes"]["merged"] == 1


WRONG = {
    "no release '20200101T000000Z-00000000'": ["--since", "20200101T000000Z-00000000"],
    "the selection is not that of .*pulls": ["--since", "active", "--language", "de"],
    "--changes events: only with --since or --base": ["--changes", "events"],
    "--events: only with --changes events": ["--since", "active", "--events", "http://localhost"],
    r"nowhere/pull\.json: no such file": ["--base", "nowhere"],
}


@pytest.mark.usefixtures("first")
def test_a_wrong_use_is_named(pull: Callable) -> None:
    for message, options in WRONG.items():
        result = pull(*options)
        assert isinstance(result.exception, BioelxError)
        assert re.search(message, str(result.exception))


def test_a_release_of_another_source_has_no_changes(tiny_release: Path, tmp_path: Path) -> None:
    with pytest.raises(BioelxError, match="was not built from a pull of Wikidata"):
        find_base(tiny_release, [tmp_path])
