"""`sources.toml`: what it may say, and what each mistake is answered with."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bioelx.errors import FileError
from bioelx_index.merge import merge, read
from bioelx_index.sources.config import SourceConfig, read_sources, with_umls

ROOT = Path(__file__).parents[2]
EXCERPTS = ROOT / "tests" / "files" / "ontologies"
ENTRY = """\
[[source]]
name = "mondo"
reader = "obo"
files = ["mondo.obo"]
snapshot = "test"
licence = "CC-BY-4.0"
"""
BABELON = (
    "subject_id\tpredicate_id\ttranslation_language\ttranslation_value\ttranslation_status\n"
    "MONDO:0004979\trdfs:label\tfr\tasthme\tOFFICIAL\n"
)

Write = Callable[[str, str], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXCERPTS, tmp_path, dirs_exist_ok=True)
    return tmp_path


def sources(folder: Path, text: str) -> list[SourceConfig]:
    (folder / "sources.toml").write_text(text, encoding="utf-8")
    return read_sources(folder)


def test_ontologies_and_a_translation_come_in_by_configuration_alone(
    folder: Path, write: Write
) -> None:
    write("mondo-fr.babelon.tsv.xz", BABELON)
    entries = [
        ENTRY,
        *(
            ENTRY.replace("mondo", name).replace("mondo.obo", f"{name}.obo")
            for name in ("doid", "uberon", "go")
        ),
        '[source.options]\ntype = "process"\n',
        ENTRY.replace('"mondo"', '"mondo_fr"')
        .replace("obo", "babelon", 1)
        .replace("mondo.obo", "*.babelon.*"),
    ]
    configured = sources(folder, "".join(entries))
    assert [source.name for source in configured] == ["mondo", "doid", "uberon", "go", "mondo_fr"]
    records = ((source.name, record) for source in configured for record in source.records())
    merged = merge(read(records, trust=[source.name for source in configured]))
    concepts = {row["concept_id"]: row for row in merged.concepts.to_pylist()}
    names = {(row["concept_id"], row["text"], row["lang"]) for row in merged.names.to_pylist()}
    # Mondo's and the Disease Ontology's syndrome are one concept by their OMIM entry.
    assert {"doid:0110123", "omim:209900"} <= set(concepts["mondo:0008854"]["xrefs"])
    assert ("mondo:0004979", "asthme", "fr") in names
    assert concepts["uberon:0002107"]["types"] == ["anatomy"]
    assert concepts["doid:267"]["replaced_by"] == "doid:0001816"


def test_options_are_part_of_what_a_manifest_states(folder: Path) -> None:
    def stamp(options: str) -> str:
        return sources(folder, ENTRY + "[source.options]\n" + options)[0].stamp().sha256

    usual = sources(folder, ENTRY)[0].stamp().sha256
    assert stamp("") == stamp('scopes = ["EXACT", "RELATED"]') == usual
    assert stamp('scopes = ["EXACT"]') != usual


def test_a_checksum_that_is_stated_is_checked(folder: Path) -> None:
    right = sources(folder, ENTRY)[0].sha256[folder / "mondo.obo"]
    assert sources(folder, f'{ENTRY}[source.sha256]\n"mondo.obo" = "{right}"\n')
    with pytest.raises(FileError, match=r"mondo\.obo: its sha256 is not the one"):
        sources(folder, f'{ENTRY}[source.sha256]\n"mondo.obo" = "{right[::-1]}"\n')
    with pytest.raises(FileError, match=r"number 1 \('mondo'\) sha256: 'other\.obo' is none of"):
        sources(folder, f'{ENTRY}[source.sha256]\n"other.obo" = "{right}"\n')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('reader = "obo"\n', "", r"number 1 \('mondo'\) has no 'reader'"),
        ('licence = "CC-BY-4.0"\n', "", r"number 1 \('mondo'\) has no 'licence'"),
        ("licence", "license", r"license: no such key; there are name, title, reader, files,"),
        ('"obo"', '"oboe"', r"reader: there is no 'oboe'; there are babelon, .*, wikidata"),
        ('["mondo.obo"]', '"mondo.obo"', r"files: Input should be a valid list"),
        ('["mondo.obo"]', '["mondo.obo", 1]', r"files\[1\]: Input should be a valid string"),
        ('["mondo.obo"]', "[]", r"files: names none"),
        ('["mondo.obo"]', '["*.owl"]', r"files: no file is like '\*\.owl'"),
        ('["mondo.obo"]', '["gone.obo"]', r"gone\.obo: no such file, though \[\[source\]\] number"),
        ('"obo"', '"wikidata"', r"exactly one \.nt or \.nt\.xz file, not mondo\.obo"),
        ('"obo"\nfiles = ["mondo.obo"]', '"wikidata"\nfiles = []', r"\.nt\.xz file, not none"),
        ('"obo"', '"umls"', r"files: .*mondo\.obo: none of the UMLS files that are read"),
        ("[[source]]", "[source]", r"source is not an array of tables"),
        ("[[source]]", "source = [1]", r"source is not an array of tables"),
        ("[[source]]", ENTRY + "[[source]]", r"2 \[\[source\]\] have the name 'mondo'"),
        ("[[source]]", "[[source]", r"not TOML"),
        (ENTRY, "", r"has no \[\[source\]\]"),
    ],
)
def test_an_entry_that_does_not_fit_is_named_with_its_key(
    folder: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(FileError, match=message):
        sources(folder, ENTRY.replace(old, new, 1))


@pytest.mark.parametrize(
    ("reader", "options", "message"),
    [
        ("obo", "scope = 1", r"options\.scope: no such key; there are scopes, drop_synonym_types,"),
        ("obo", 'scopes = ["EXAKT"]', r"options\.scopes\[0\]: Input should be 'EXACT', 'RELATED',"),
        ("obo", 'prefixes = ["FOO"]', r"options\.prefixes\[0\]: 'FOO' is the prefix of no scheme"),
        ("obo", 'type = "illness"', r"options\.type: 'illness' is none of disease, phenotype,"),
        ("obo", 'branches = {"HP:1" = "disease"}', r"branches\[HP:1\].*: 'HP:1' is no id"),
        ("obo", 'branches = {"HP:0000001" = "x"}', r"branches\[HP:0000001\]: 'x' is none of"),
        ("obo", 'exact_xrefs = "some"', r"exact_xrefs: Input should be 'all', 'marked' or 'none'"),
        ("obo", 'language = "!"', r"options\.language: '!' is no language in BCP 47"),
        ("babelon", 'statuses = ["GOOD"]', r"options\.statuses\[0\]: Input should be 'OFFICIAL',"),
        ("babelon", "statuses = 1", r"options\.statuses: Input should be a valid tuple"),
        ("sssom", "x = 1", r"options: the reader sssom takes none"),
    ],
)
def test_an_option_that_does_not_fit_is_named(
    folder: Path, reader: str, options: str, message: str
) -> None:
    entry = ENTRY.replace('"obo"', f'"{reader}"')
    with pytest.raises(FileError, match=rf"sources\.toml: .*\('mondo'\) .*{message}"):
        sources(folder, f"{entry}[source.options]\n{options}\n")


def test_the_users_own_umls_is_the_last_source_or_gives_an_entry_its_files(tmp_path: Path) -> None:
    for release in ("2025AB", "2026AA"):
        meta = tmp_path / release / "META"
        meta.mkdir(parents=True)
        (meta / "MRCONSO.RRF.aa.gz").write_bytes(b"")
        (meta / "MRSTY.RRF.gz").write_bytes(b"")
        (meta / "MRREL.RRF.gz").write_bytes(b"")
    [added] = with_umls([], tmp_path / "2026AA")
    assert (added.name, added.snapshot) == ("umls", "2026AA")
    assert [file.name for file in added.files] == ["MRCONSO.RRF.aa.gz", "MRSTY.RRF.gz"]

    entry = ENTRY.replace("mondo.obo", f"{tmp_path}/2025AB/META/MR[CS]*").replace("obo", "umls", 1)
    [old] = sources(tmp_path, entry + '[source.options]\nlanguages = ["de"]\n')
    [new] = with_umls([old], tmp_path / "2026AA" / "META")
    assert (new.name, new.snapshot, new.options) == ("mondo", "2026AA", old.options)
    assert new.files == added.files
    with pytest.raises(FileError, match=r"options\.languages: 'pt-BR': the Metathesaurus knows"):
        sources(tmp_path, entry + '[source.options]\nlanguages = ["pt-BR"]\n')
    with pytest.raises(FileError, match=r"holds no MRCONSO\.RRF"):
        with_umls([], tmp_path)


TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("example", TOML.findall((ROOT / "docs/sources.md").read_text("utf-8")))
def test_the_examples_of_the_documentation_are_read(example: str, tmp_path: Path) -> None:
    example = example.replace("/data/umls", f"{tmp_path}/umls")
    for file in re.findall(r'"([^"\n]*\.(?:obo|tsv|gz|xz|RRF))"', example):
        path = tmp_path / file.replace("RRF.*", "RRF.aa").replace("*", "fr")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sources(tmp_path, example)
