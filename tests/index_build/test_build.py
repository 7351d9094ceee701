"""The offline journey on a small snapshot, through a real SPARQL server and the shipped encoder."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bioelx.errors import BioelxError, FileError, InstallationError, SourceError
from bioelx.linker import Linker
from bioelx.release import active_release, list_releases, verify_release
from bioelx.settings import shipped
from bioelx.types import Query
from bioelx_index import build as build_module
from bioelx_index import endpoint
from bioelx_index.build import BuildSettings, build
from bioelx_index.progress import Stages
from bioelx_index.sources.config import read_sources
from bioelx_index.sources.wikidata.folder import read_pull
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import pull


@pytest.fixture
def settings(tmp_path: Path, small_snapshot: Path) -> BuildSettings:
    return BuildSettings(
        data=small_snapshot,
        encoder=shipped("models/multilingual-e5-small-int8"),
        releases=tmp_path / "releases",
        cache=tmp_path / "cache",
    )


def replace_in_source(data: Path, file: str, old: str, new: str) -> None:
    """Changes a source's file, and its checksum with it."""
    before = (data / file).read_bytes()
    after = before.replace(old.encode(), new.encode())
    assert after != before
    (data / file).write_bytes(after)
    catalogue = data / "sources.toml"
    sums = [hashlib.sha256(content).hexdigest() for content in (before, after)]
    catalogue.write_text(catalogue.read_text().replace(*sums))


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stages(said: io.StringIO) -> Stages:
    return Stages(Console(file=said, width=200))


def test_sources_become_a_release_that_links(settings: BuildSettings, stages: Stages) -> None:
    manifest = build(settings, stages)
    folder = settings.releases / manifest.id
    assert active_release(settings.releases) == manifest.id
    assert verify_release(folder) == manifest
    assert [source.name for source in manifest.sources] == ["wikidata", "hpo"]
    assert folder.stat().st_mode == settings.releases.stat().st_mode  # others may read it too
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


def test_a_second_build_does_nothing_twice(
    settings: BuildSettings, stages: Stages, said: io.StringIO
) -> None:
    first = build(settings, stages)
    build(settings, stages)  # its parent is the first: ids come from there
    said.truncate(0)
    third = build(settings, stages)
    assert "unchanged since the last build" in said.getvalue()
    assert " 0 of " in said.getvalue()
    assert third.parent in list_releases(settings.releases)
    tables = ("concepts.arrow", "names.arrow", "index.faiss", "confidence.json")
    assert {t: third.files[t] for t in tables} == {t: first.files[t] for t in tables}


def test_a_new_name_alone_is_encoded(
    settings: BuildSettings, stages: Stages, said: io.StringIO
) -> None:
    build(settings, stages)
    said.truncate(0)
    replace_in_source(settings.data, "hp.obo", "Pyrexia", "Febrile state")
    build(settings, stages)
    assert " 1 of " in said.getvalue()


def test_a_part_is_selected_by_size_and_type(settings: BuildSettings, stages: Stages) -> None:
    part = replace(settings, names_budget=4, types=("phenotype",))
    manifest = build(part, stages)
    assert 0 < manifest.names <= 4
    linker = Linker.open(settings.releases / manifest.id, threads=1)
    rows = range(linker.knowledge_base.concept_count)
    assert all("phenotype" in linker.knowledge_base.concept(row).types for row in rows)


def test_wikidata_may_come_from_an_endpoint_and_is_pulled_anew(
    settings: BuildSettings, stages: Stages, said: io.StringIO
) -> None:
    shipped_slice = build(settings, stages)
    with endpoint.local_endpoint(settings.data / "slice.nt") as url:
        said.truncate(0)
        pulled = [build(replace(settings, endpoint=url), stages) for _ in range(2)]
    assert said.getvalue().count("5 items belong") == 2
    for manifest in pulled:
        assert manifest.sources[0].snapshot.startswith(f"sparql: {url}, 20")
        assert manifest.files["names.arrow"] == shipped_slice.files["names.arrow"]
    [kept] = (settings.cache / "pulls").iterdir()
    assert kept.name.endswith(pulled[-1].id)
    assert read_pull(kept).sha256 == pulled[-1].sources[0].records


def test_a_build_that_was_stopped_does_not_pull_again(
    settings: BuildSettings, stages: Stages, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: object) -> None:
        raise KeyboardInterrupt

    with endpoint.local_endpoint(settings.data / "slice.nt") as url, monkeypatch.context() as patch:
        patch.setattr(build_module, "encode_names", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(replace(settings, endpoint=url), stages)
    assert build(replace(settings, endpoint=url), stages).names > 0  # the server is gone
    assert said.getvalue().count("items belong") == 1
    with pytest.raises(SourceError, match=url):
        build(replace(settings, endpoint=url), stages)


def test_wikidata_may_come_from_a_finished_pull(
    settings: BuildSettings, stages: Stages, tmp_path: Path
) -> None:
    folder = tmp_path / "pull"
    with endpoint.local_endpoint(settings.data / "slice.nt") as url:
        pulled = pull(url, folder, Selection(), user_agent="", stages=stages)
    first = build(replace(settings, wikidata=folder), stages)
    stamp = first.sources[0]
    assert stamp.snapshot == f"sparql: {url}, {pulled.started:%Y-%m-%dT%H:%M:%SZ}"
    assert (stamp.name, stamp.licence) == ("wikidata", "CC0-1.0")
    assert first.files["names.arrow"] == build(settings, stages).files["names.arrow"]

    with (folder / "records.parquet").open("ab") as records:
        records.write(b"x")
    with pytest.raises(FileError, match=r"records\.parquet: is not what pull\.json says"):
        build(replace(settings, wikidata=folder), stages)
    with pytest.raises(FileError, match=r"pull\.json: no such file: not a finished pull"):
        build(replace(settings, wikidata=tmp_path), stages)
    (settings.data / "sources.toml").write_text(
        (settings.data / "sources.toml").read_text().replace('name = "wikidata"', 'name = "other"')
    )
    with pytest.raises(BioelxError, match="names no source 'wikidata'"):
        build(replace(settings, wikidata=folder), stages)


def test_the_users_own_umls_joins_the_open_sources(
    settings: BuildSettings, stages: Stages, tmp_path: Path
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
    manifest = build(replace(settings, umls=folder), stages)
    umls = manifest.sources[-1]
    assert (umls.name, umls.snapshot) == ("umls", "2026AA")
    linker = Linker.open(settings.releases / manifest.id, threads=1)
    links = linker.link([Query.bare("keuhkoastma", "fi"), Query.bare("edema", "en")]).links
    asthma, edema = (link.candidates[0].concept for link in links)
    assert asthma.concept_id == "wikidata:Q35869"
    assert "umls:C0004096" in asthma.xrefs
    assert {"mesh:D004487", "umls:C0013604"} == {edema.concept_id, *edema.xrefs}
    with pytest.raises(FileError, match=r"holds no MRCONSO\.RRF"):
        build(replace(settings, umls=tmp_path), stages)


def test_a_failed_build_leaves_no_release_and_no_draft(
    settings: BuildSettings, stages: Stages
) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        build(replace(settings, endpoint="http://127.0.0.1:9/query"), stages)
    assert [path.name for path in settings.releases.iterdir()] == [".lock"]


def test_a_file_that_changed_is_refused(settings: BuildSettings, stages: Stages) -> None:
    with (settings.data / "hp.obo").open("a") as stream:
        stream.write("\n")
    with pytest.raises(FileError, match=r"hp\.obo: its sha256"):
        build(settings, stages)


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
