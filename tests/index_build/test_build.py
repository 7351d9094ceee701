"""The offline journey on a small snapshot, through a real SPARQL server and the shipped encoder."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bioelx.errors import FileError, InstallationError, SourceError
from bioelx.linker import Linker
from bioelx.release import active_release, list_releases, verify_release
from bioelx.settings import shipped
from bioelx.types import Query
from bioelx_index import endpoint
from bioelx_index.build import BuildSettings, build
from bioelx_index.progress import Stages
from bioelx_index.sources import wikidata
from bioelx_index.sources.config import read_sources

ITEMS = {
    "Q12152": ("myocardial infarction", {"de": "Myokardinfarkt", "fi": "sydäninfarkti"}, "D009203"),
    "Q35869": ("asthma", {"tr": "astım", "ko": "천식"}, "D001249"),
    "Q86": ("headache", {"th": "ปวดศีรษะ", "ja": "頭痛"}, "D006261"),
    "Q12206": ("diabetes mellitus", {"ru": "сахарный диабет", "zh": "糖尿病"}, "D003920"),
    "Q38933": ("fever", {"es": "fiebre"}, "D005334"),
}
OBO = """\
format-version: 1.2

[Term]
id: HP:0002315
name: Headache
synonym: "Cephalgia" EXACT []
xref: UMLS:C0018681
xref: MSH:D006261

[Term]
id: HP:0001945
name: Fever
synonym: "Pyrexia" EXACT []
xref: UMLS:C0015967
"""


def triples() -> str:
    wd, rdfs = "http://www.wikidata.org/entity/", "http://www.w3.org/2000/01/rdf-schema#"
    lines = []
    for item, (label, translations, mesh) in ITEMS.items():
        for lang, text in {"en": label, **translations}.items():
            lines.append(f'<{wd}{item}> <{rdfs}label> "{text}"@{lang} .')
        lines.append(f'<{wd}{item}> <http://www.wikidata.org/prop/direct/P486> "{mesh}" .')
    return "\n".join(lines) + "\n"


def write_source(folder: Path, name: str, reader: str, file: str, content: str) -> None:
    (folder / file).write_text(content, encoding="utf-8")
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    with (folder / "sources.toml").open("a", encoding="utf-8") as stream:
        stream.write(
            f'[[source]]\nname = "{name}"\nreader = "{reader}"\nfiles = ["{file}"]\n'
            f'snapshot = "test"\nlicence = "CC0-1.0"\n[source.sha256]\n"{file}" = "{sha256}"\n'
        )


@pytest.fixture
def settings(tmp_path: Path) -> BuildSettings:
    data = tmp_path / "data"
    data.mkdir()
    write_source(data, "wikidata", "wikidata", "slice.nt", triples())
    write_source(data, "hpo", "obo", "hp.obo", OBO)
    return BuildSettings(
        data=data,
        encoder=shipped("models/multilingual-e5-small-int8"),
        releases=tmp_path / "releases",
        cache=tmp_path / "cache",
    )


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
    (settings.data / "sources.toml").unlink()
    write_source(settings.data, "wikidata", "wikidata", "slice.nt", triples())
    write_source(settings.data, "hpo", "obo", "hp.obo", OBO.replace("Pyrexia", "Febrile state"))
    build(settings, stages)
    assert " 1 of " in said.getvalue()


def test_a_part_is_selected_by_size_and_type(settings: BuildSettings, stages: Stages) -> None:
    part = replace(settings, names_budget=4, types=("phenotype",))
    manifest = build(part, stages)
    assert 0 < manifest.names <= 4
    linker = Linker.open(settings.releases / manifest.id, threads=1)
    rows = range(linker.knowledge_base.concept_count)
    assert all("phenotype" in linker.knowledge_base.concept(row).types for row in rows)


def test_a_failed_build_leaves_no_release_and_no_draft(
    settings: BuildSettings, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wikidata, "_PAUSE_SECONDS", 0.01)
    with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        build(replace(settings, endpoint="http://127.0.0.1:9/query"), stages)
    assert list(settings.releases.iterdir()) == []


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
        ('[[source]]\nname = "x"\n', r"number 1 has no 'reader'"),
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
