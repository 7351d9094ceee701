"""Training on: SPARQL server -> `bioelx build` -> `bioelx serve` -> a reply -> `bioelx update`."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bioelx.cli.app import app
from bioelx.client import Client, document
from bioelx.release import active_release, read_manifest
from bioelx.release.manifest import Manifest
from bioelx.v1 import linker_pb2 as pb
from bioelx_index.endpoint import local_endpoint

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("pytorch_metric_learning", reason="needs the train extra")

ASTHMA, INFARCTION = "wikidata:Q35869", "wikidata:Q12152"
BUILD = """\
data = "{data}"
[wikidata]
endpoint = "{endpoint}"
[encoder]
train = true
[encoder.training]
base = "{base}"
name = "trained here"
steps = 30
batch = 32
rate = 3e-3
warm_up_steps = 2
perturbed = 0.3
memory = 16
embeddings = true
held_out = 0
[gate]
margin = 1.0  # a handful of names knows nothing of most mentions
"""


def bioelx(*arguments: object) -> dict[str, str]:
    """Runs a command; returns the state of each of its stages, as its summary tells them."""
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [line.split("│")[:2] for line in done.output.splitlines() if "│" in line]
    return {stage.strip(): state.strip() for stage, state in rows}


def active(home: Path) -> Manifest:
    return read_manifest(home / "releases" / str(active_release(home / "releases")))


def rename(url: str, old: str, new: str) -> None:
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    change = (
        f'DELETE {{ ?item {label} "{old}"@en }} INSERT {{ ?item {label} "{new}"@en }} '
        f'WHERE {{ ?item {label} "{old}"@en }}'
    )
    headers = {"Content-Type": "application/sparql-update"}
    request = urllib.request.Request(url.replace("/query", "/update"), change.encode(), headers)
    urllib.request.urlopen(request, timeout=30).read()


def first(client: Client, text: str, mention: str) -> tuple[str, pb.Candidate]:
    """The release that answers, and its first candidate for a mention."""
    start = text.index(mention)
    reply = client.link([document(text, (start, start + len(mention)))])
    return reply.release, reply.documents[0].links[0].candidates[0]


def test_from_the_sparql_server_to_a_reply_by_a_trained_encoder(
    home: Path,
    small_snapshot: Path,
    make_torch_model: Callable[[Path, int], Path],
    start_server: Callable,
    tmp_path: Path,
) -> None:
    config = tmp_path / "build.toml"
    with local_endpoint(small_snapshot / "slice.nt", writable=True) as url:
        base = make_torch_model(tmp_path / "base", 32)
        said = BUILD.format(data=small_snapshot, endpoint=url, base=base)
        config.write_text(said, encoding="utf-8")
        assert bioelx("build", "--config", config)["train"] == "done"
        built = active(home)
        assert (built.encoder.name, built.encoder.dimension) == ("trained here", 32)

        with start_server(home=home) as server, Client(server.address, timeout=30) as client:
            assert client.info().encoder_fingerprint == built.encoder.fingerprint
            release, found = first(client, "Seit Jahren 천식.", "천식")
            assert (release, found.concept_id, found.matched.exact) == (built.id, ASTHMA, True)
            # No name is written so: that is for the encoder to find.
            _, found = first(client, "after myocardial infarctions", "myocardial infarctions")
            assert (found.concept_id, found.matched.exact) == (INFARCTION, False)

            # Of the same, nothing is made again; with another index, no encoder.
            assert "train" not in bioelx("build", "--config", config)
            assert active(home) == built
            config.write_text(said + "[index]\nmin_recall = 0.5\n", encoding="utf-8")
            stages = bioelx("build", "--config", config)
            assert {stages["train"], stages["encode"]} == {"unchanged"}
            assert active(home).id != built.id

            rename(url, "asthma", "reactive airway")
            stages = bioelx("update", "--config", config)
            assert "train" not in stages
            updated = active(home)
            assert updated.encoder == built.encoder

            while client.info().release != updated.id:  # the server takes it by itself
                time.sleep(0.1)
            release, found = first(client, "reactive airways", "reactive airways")
            assert (release, found.concept_id) == (updated.id, ASTHMA)
            assert found.matched.text == "reactive airway"
