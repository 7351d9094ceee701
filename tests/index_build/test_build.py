"""The offline journey on a small snapshot, through a real SPARQL server and the shipped encoder."""

import hashlib
import io
import shutil
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from rich.console import Console

from bioelx.errors import (
    BioelxError,
    FileError,
    InstallationError,
    NotFoundError,
    SourceError,
)
from bioelx.kb import KnowledgeBase
from bioelx.linker import Linker
from bioelx.release import (
    Manifest,
    active_release,
    list_releases,
    roll_back,
    verify_release,
)
from bioelx.settings import SHIPPED_ENCODER, shipped
from bioelx.types import Query
from bioelx_index import build as build_module
from bioelx_index import endpoint
from bioelx_index.build import Outcome, build, update
from bioelx_index.places import Places
from bioelx_index.progress import Stages
from bioelx_index.settings import BuildSettings
from bioelx_index.sources.config import read_sources
from bioelx_index.sources.wikidata.folder import read_pull
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import pull

Make = Callable[..., Manifest]


@pytest.fixture(autouse=True)
def _lenient_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handful of names makes of mentions that none of them is like is chance."""
    monkeypatch.setenv("BIOELX_GATE_MARGIN", "1")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stages(said: io.StringIO) -> Stages:
    return Stages(Console(file=said, width=200))


@pytest.fixture
def run(small_snapshot: Path, places: Places, stages: Stages) -> Callable[..., Outcome]:
    """Builds (or updates) with these settings."""

    def start(job: Callable[..., Outcome] = build, **said: Any) -> Outcome:
        settings = BuildSettings.model_validate({"data": small_snapshot, **said})
        stages.done.clear()
        return job(settings, places, stages)

    return start


@pytest.fixture
def make(run: Callable[..., Outcome]) -> Make:
    """Builds with these settings and gives the manifest."""
    return lambda **said: run(**said).manifest


def stages_done(stages: Stages) -> list[str]:
    """The stages of the last build in which there was something to do."""
    return [stage.title for stage in stages.done if not stage.unchanged]


def replace_in_source(data: Path, file: str, old: str, new: str) -> None:
    """Changes a source's file, and its checksum with it."""
    before = (data / file).read_bytes()
    after = before.replace(old.encode(), new.encode())
    assert after != before
    (data / file).write_bytes(after)
    catalogue = data / "sources.toml"
    sums = [hashlib.sha256(content).hexdigest() for content in (before, after)]
    catalogue.write_text(catalogue.read_text().replace(*sums))


def test_sources_become_a_release_that_links(make: Make, places: Places) -> None:
    manifest = make()
    folder = places.releases / manifest.id
    assert active_release(places.releases) == manifest.id
    assert verify_release(folder) == manifest
    assert [source.name for source in manifest.sources] == ["wikidata", "hpo"]
    assert folder.stat().st_mode == places.releases.stat().st_mode  # others may read it too
    assert manifest.index.recall_at_10 == 1  # exact search finds what exact search finds

    linker = Linker.open(folder, threads=1)
    links = linker.link([Query.bare("천식", "ko"), Query.bare("Cephalgia", "en")]).links
    assert [link.candidates[0].concept.concept_id for link in links] == [
        "wikidata:Q35869",
        "wikidata:Q86",
    ]
    assert {"mesh:D006261", "hp:0002315"} <= set(links[1].candidates[0].concept.xrefs)
    for line in (folder / "canaries.jsonl").read_bytes().splitlines():
        canary = orjson.loads(line)
        [link] = linker.link([Query.bare(canary["name"], canary["language"])]).links
        assert link.candidates[0].concept.concept_id == canary["concept_id"]


def test_where_nothing_changed_the_release_stands(
    run: Callable[..., Outcome], places: Places, stages: Stages, said: io.StringIO
) -> None:
    first = run()
    assert first.encoded > 0
    for job in (build, update, build):
        again = run(job)
        assert again == Outcome(first.manifest, encoded=0, unchanged=True)
        assert stages_done(stages) == ["checksums"]
        assert stages.done[-1].result == f"nothing changed: release {first.manifest.id} stands"
    assert list_releases(places.releases) == [first.manifest.id]


def test_only_what_has_other_inputs_is_done_again(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places, stages: Stages
) -> None:
    first = run()
    replace_in_source(small_snapshot, "hp.obo", "Pyrexia", "Febrile state")
    second = run()
    assert second.encoded == 1
    assert second.manifest.parent == first.manifest.id == list_releases(places.releases)[0]
    # The slice of Wikidata, which has not changed, is not pulled again.
    assert [title for title in stages_done(stages) if title in ("list", "fetch")] == []


def test_a_release_that_was_left_is_not_activated_behind_the_users_back(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places, stages: Stages
) -> None:
    first = run().manifest
    replace_in_source(small_snapshot, "hp.obo", "Pyrexia", "Febrile state")
    second = run().manifest
    assert roll_back(places.releases) == first.id
    again = run(update)
    assert again == Outcome(second, unchanged=True)
    assert active_release(places.releases) == first.id
    assert f"'bioelx release activate {second.id}' goes back to it" in stages.done[-1].result


def test_a_release_that_the_gate_refuses_stands_beside(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places, stages: Stages
) -> None:
    first = run().manifest
    rows = small_snapshot / "rows.jsonl"
    row = {"language": "en", "mention": "fever", "text": "Had fever.", "start": 4, "end": 9}
    lines = [{"id": f"en-{i}", **row, "expected": ["umls:C0015967"]} for i in range(30)]
    rows.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    replace_in_source(small_snapshot, "hp.obo", "xref: UMLS:C0015967\n", "")
    for _ in range(2):  # asked again, it is not built again
        with pytest.raises(BioelxError, match=r"is not activated: worse than .* --force"):
            run(update, gate={"rows": rows})
        assert active_release(places.releases) == first.id
        assert len(list_releases(places.releases)) == 2
    assert stages_done(stages) == ["checksums"]
    again = run(update, gate={"rows": rows, "max_gone": 1})
    assert again.unchanged
    assert active_release(places.releases) == again.manifest.id != first.id
    assert "is active; gate: " in stages.done[-1].result


def test_what_was_damaged_in_the_cache_is_made_again(
    run: Callable[..., Outcome], places: Places, stages: Stages
) -> None:
    first = run().manifest
    shutil.rmtree(places.releases)
    for kept in places.cache.rglob("*.*"):
        if kept.name in ("names.arrow", "index.faiss", "confidence.json"):
            content = bytearray(kept.read_bytes())
            content[len(content) // 2] ^= 1
            kept.write_bytes(content)
    again = run()
    assert {"merge", "index", "confidence"} <= set(stages_done(stages))
    assert again.manifest.files == first.files
    assert again.encoded == 0


def test_an_update_keeps_the_encoder_and_the_pull_of_its_release(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places, stages: Stages
) -> None:
    encoder = shutil.copytree(shipped(SHIPPED_ENCODER), places.home / "mine")
    card = orjson.loads((encoder / "encoder.json").read_bytes())
    (encoder / "encoder.json").write_bytes(orjson.dumps({**card, "name": "mine"}))
    with endpoint.local_endpoint(small_snapshot / "slice.nt", writable=True) as url:
        first = run(wikidata={"endpoint": url}, encoder={"folder": encoder}).manifest
        shutil.rmtree(encoder)
        wikidata = {"wikidata": {"endpoint": url}}
        assert run(update, **wikidata) == Outcome(first, unchanged=True)
        assert run(update) == Outcome(first, unchanged=True)  # Wikidata stays as it was
        rename(url, "asthma", "reactive airway")
        second = run(update, **wikidata)
    assert second.encoded == 1
    assert second.manifest.encoder == first.encoder
    assert second.manifest.encoder.name == "mine"
    assert second.manifest.parent == first.id
    [wikidata_stamp, _] = second.manifest.sources
    assert wikidata_stamp.snapshot.startswith(f"changes: {url}")
    replace_in_source(small_snapshot, "hp.obo", "Pyrexia", "Febrile state")
    third = run(update)  # the server is gone
    assert third.encoded == 1
    assert third.manifest.sources[0] == wikidata_stamp
    linker = Linker.open(places.releases / third.manifest.id, threads=1)
    [link] = linker.link([Query.bare("reactive airway", "en")]).links
    assert link.candidates[0].concept.concept_id == "wikidata:Q35869"


def rename(url: str, old: str, new: str) -> None:
    """Gives an English label another text, and its item a later date."""
    label = "http://www.w3.org/2000/01/rdf-schema#label"
    update_ = f"""DELETE {{ ?item <{label}> "{old}"@en }} INSERT {{ ?item <{label}> "{new}"@en }}
        WHERE {{ ?item <{label}> "{old}"@en }}"""
    headers = {"Content-Type": "application/sparql-update"}
    to = url.replace("/query", "/update")
    urllib.request.urlopen(urllib.request.Request(to, update_.encode(), headers), timeout=30).read()


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Puts another in the place of the training, which takes hours and torch: it gives the shipped
    encoder under another name, and lists the settings that it was called with."""
    calls: list[Any] = []

    def train_encoder(tables: Path, settings: Any, out: Path, *given: object) -> Path:
        calls.append((KnowledgeBase.open(tables).name_count, settings.steps))
        folder = shutil.copytree(shipped(SHIPPED_ENCODER), out / "encoder")
        card = orjson.loads((folder / "encoder.json").read_bytes())
        named = {**card, "name": f"trained {len(calls)}"}
        (folder / "encoder.json").write_bytes(orjson.dumps(named))
        return Path(folder)

    trainer: Any = ModuleType("bioelx_index.train.encoder")
    trainer.train_encoder = train_encoder
    monkeypatch.setitem(sys.modules, "bioelx_index.train.encoder", trainer)
    return calls


def test_an_encoder_is_trained_once_for_the_same_names_and_settings(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places, trained: list[Any]
) -> None:
    training = {"encoder": {"train": True, "training": {"steps": 2}}}
    first = run(**training)
    assert trained == [(first.manifest.names, 2)]
    assert first.manifest.encoder.name == "trained 1"
    assert run(**training).unchanged
    assert run(update, **training).unchanged

    replace_in_source(small_snapshot, "hp.obo", "Pyrexia", "Febrile state")
    updated = run(update, **training)
    assert updated.manifest.encoder == first.manifest.encoder
    assert (updated.encoded, len(trained)) == (1, 1)
    # A build is another thing: what the encoder has to learn from has changed.
    again = run(**training)
    assert again.manifest.encoder.name == "trained 2"
    assert again.encoded == again.manifest.index.vectors
    run(encoder={"train": True, "training": {"steps": 3}})
    assert [steps for _, steps in trained] == [2, 2, 3]


def test_an_update_does_not_drop_what_is_not_named_again(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places
) -> None:
    with pytest.raises(NotFoundError, match="run 'bioelx build' first"):
        run(update)
    run(select={"names": 1000})
    with pytest.raises(
        BioelxError, match=r'built with \[select\] {"names":1000}, the settings say'
    ):
        run(update)
    catalogue = small_snapshot / "sources.toml"
    wikidata, *_ = catalogue.read_text().partition('[[source]]\nname = "hpo"')
    catalogue.write_text(wikidata)
    with pytest.raises(BioelxError, match="has names from hpo, which the settings leave out"):
        run(update, select={"names": 1000})
    with pytest.raises(BioelxError, match="an update follows sources"):
        run(update, data=None, dictionary=small_snapshot / "names.txt")


def test_a_part_is_selected_by_size_and_type(make: Make, places: Places) -> None:
    manifest = make(select={"names": 4, "types": ["phenotype"]})
    assert 0 < manifest.names <= 4
    linker = Linker.open(places.releases / manifest.id, threads=1)
    rows = range(linker.knowledge_base.concept_count)
    assert all("phenotype" in linker.knowledge_base.concept(row).types for row in rows)
    with pytest.raises(BioelxError, match=r'select: {"types":\["gene"\]} leaves none of 16 names'):
        make(select={"types": ["gene"]})


def test_wikidata_may_come_from_an_endpoint_and_is_pulled_anew(
    run: Callable[..., Outcome], small_snapshot: Path, places: Places, said: io.StringIO
) -> None:
    of_slice = run().manifest
    with endpoint.local_endpoint(small_snapshot / "slice.nt") as url:
        said.truncate(0)
        pulled, again = [run(wikidata={"endpoint": url}) for _ in range(2)]
    assert said.getvalue().count("5 items belong") == 2
    assert again == Outcome(pulled.manifest, unchanged=True)
    stamp = pulled.manifest.sources[0]
    assert stamp.snapshot.startswith(f"sparql: {url}, 20")
    assert pulled.manifest.files["names.arrow"] == of_slice.files["names.arrow"]
    [kept] = (places.cache / "pulls").iterdir()
    assert kept.name.endswith(pulled.manifest.id)
    assert read_pull(kept).sha256 == stamp.records


def test_a_build_that_was_stopped_does_not_pull_again(
    make: Make,
    small_snapshot: Path,
    places: Places,
    said: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*args: object) -> None:
        raise KeyboardInterrupt

    with (
        endpoint.local_endpoint(small_snapshot / "slice.nt") as url,
        monkeypatch.context() as patch,
    ):
        patch.setattr(build_module, "encode_names", stopped)
        with pytest.raises(KeyboardInterrupt):
            make(wikidata={"endpoint": url})
    assert make(wikidata={"endpoint": url}).names > 0  # the server is gone
    assert said.getvalue().count("items belong") == 1
    with pytest.raises(SourceError, match=url):
        make(wikidata={"endpoint": url})


def test_wikidata_may_come_from_a_finished_pull(
    make: Make, small_snapshot: Path, stages: Stages, tmp_path: Path
) -> None:
    folder = tmp_path / "pull"
    with endpoint.local_endpoint(small_snapshot / "slice.nt") as url:
        pulled = pull(url, folder, Selection(), user_agent="", stages=stages)
    first = make(wikidata={"pull": folder})
    stamp = first.sources[0]
    assert stamp.snapshot == f"sparql: {url}, {pulled.started:%Y-%m-%dT%H:%M:%SZ}"
    assert (stamp.name, stamp.licence) == ("wikidata", "CC0-1.0")
    assert first.files["names.arrow"] == make().files["names.arrow"]

    with (folder / "records.parquet").open("ab") as records:
        records.write(b"x")
    with pytest.raises(FileError, match=r"records\.parquet: is not what pull\.json says"):
        make(wikidata={"pull": folder})
    with pytest.raises(FileError, match=r"pull\.json: no such file: not a finished pull"):
        make(wikidata={"pull": tmp_path})
    (small_snapshot / "sources.toml").write_text(
        (small_snapshot / "sources.toml").read_text().replace('name = "wikidata"', 'name = "other"')
    )
    with pytest.raises(BioelxError, match="names no source 'wikidata'"):
        make(wikidata={"pull": folder})


def test_the_users_own_umls_joins_the_open_sources(
    make: Make, small_snapshot: Path, places: Places, tmp_path: Path
) -> None:
    folder = tmp_path / "2026AA" / "META"
    folder.mkdir(parents=True)
    rows = [
        "C0004096|ENG|P|L1|PF|S1|Y|A1||M1|D001249|MSH|MH|D001249|Asthma|0|N|256|",
        "C0004096|FIN|P|L2|PF|S2|Y|A2||M1|D001249|MSHFIN|MH|D001249|Keuhkoastma|3|N||",
        "C0013604|ENG|P|L3|PF|S3|Y|A3||M2|D004487|MSH|MH|D004487|Edema|0|N|256|",
    ]
    (folder / "MRCONSO.RRF").write_text("".join(f"{row}\n" for row in rows))
    (folder / "MRSTY.RRF").write_text("C0013604|T046|B2.2.1.2|Pathologic Function|AT1|256|\n")
    manifest = make(umls=folder)
    umls = manifest.sources[-1]
    assert (umls.name, umls.snapshot) == ("umls", "2026AA")
    linker = Linker.open(places.releases / manifest.id, threads=1)
    links = linker.link([Query.bare("keuhkoastma", "fi"), Query.bare("edema", "en")]).links
    asthma, edema = (link.candidates[0].concept for link in links)
    assert asthma.concept_id == "wikidata:Q35869"
    assert "umls:C0004096" in asthma.xrefs
    assert {"mesh:D004487", "umls:C0013604"} == {edema.concept_id, *edema.xrefs}
    with pytest.raises(FileError, match=r"holds no MRCONSO\.RRF"):
        make(umls=tmp_path)


def test_a_failed_build_leaves_no_release_and_no_draft(
    make: Make, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        make(wikidata={"endpoint": "http://127.0.0.1:9/query"})
    assert not places.releases.exists()

    def failing(*args: object) -> None:
        raise SourceError("no more")

    monkeypatch.setattr(build_module, "encode_names", failing)
    with pytest.raises(SourceError, match="no more"):
        make()
    assert [path.name for path in places.releases.iterdir()] == [".lock"]


def test_a_file_that_changed_is_refused(make: Make, small_snapshot: Path) -> None:
    with (small_snapshot / "hp.obo").open("a") as stream:
        stream.write("\n")
    with pytest.raises(FileError, match=r"hp\.obo: its sha256"):
        make()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has no \[\[source\]\]"),
        ("[[source]\n", "not TOML"),
        ('[[source]]\nname = "x"\n', r"number 1 \('x'\) has no 'reader'"),
    ],
)
def test_a_list_of_sources_that_does_not_fit_says_why(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "sources.toml").write_text(content)
    with pytest.raises(FileError, match=message):
        read_sources(tmp_path)


def test_triples_that_do_not_load_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.nt"
    path.write_text("<no triple\n")
    with pytest.raises(SourceError, match=r"broken\.nt"), endpoint.local_endpoint(path):
        pass


def test_no_oxigraph_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(endpoint.sysconfig, "get_path", lambda _: str(tmp_path))
    with (
        pytest.raises(InstallationError, match=r"pip install 'bioelx\[quickstart\]'"),
        endpoint.local_endpoint(tmp_path / "x.nt"),
    ):
        pass
