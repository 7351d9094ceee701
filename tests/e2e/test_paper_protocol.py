"""The knowledge base of XL-BEL's paper: dictionary -> `bioelx build` -> `bioelx eval run xlbel`."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.errors import BioelxError, FileError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.release import active_release, read_manifest
from bioelx_eval.datasets.xlbel import LANGUAGES

DICTIONARY = [
    ("C0027051", "Myocardial Infarction"),
    ("C0027051", "sydäninfarkti"),
    ("C0004096", "Asthma"),
    ("C0004096", "asthma"),  # the protocol folds case: one name
    ("C0004096|C0155877", "asthma bronchiale"),  # names both
    ("C0155877", "asthma"),  # a name of two concepts
    ("C0018681", "päänsärky"),
    ("C0000921", "1234567-8"),  # names that the hygiene of a merge would drop
    ("C0000922", "long " * 60),
    ("C0000923", "%"),
    ("C0015967", "fever"),
    ("C0010200", "cough"),
    ("C0010200", "Fever"),
]
ROWS = {
    "fi": [
        "C0027051||sydäninfarkti||akuutti <tgt>sydäninfarkti</tgt>",
        "C0018681||Päänsärky||kova <tgt>Päänsärky</tgt>",
        "C0000009|C0155877||asthma bronchiale||<tgt>asthma bronchiale</tgt>",
        "C0000008||astma||<tgt>astma</tgt>",
    ],
    "en": [
        "C0000921||1234567-8||nr. <tgt>1234567-8</tgt>",
        "C0000923||%||50 <tgt>%</tgt>",
    ],
}
MRCONSO = """\
C0004096|ENG|P|L1|PF|S1|Y|A1||M1|D001249|MSH|MH|D001249|Asthma|0|N|256|
C0004096|KOR|P|L5|PF|S5|Y|A5|||1|MDRKOR|PT|1|천식|3|N||
C0030705|ENG|P|L7|PF|S7|Y|A7||M3|D010361|MSH|MH|D010361|Patients|0|N|256|
"""
MRSTY = "C0004096|T047|B2|Disease or Syndrome|AT1|256|\n"


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    path = tmp_path / "umls_5.txt"
    path.write_text("".join(f"{cui}||{name}\n" for cui, name in DICTIONARY), encoding="utf-8")
    return path


@pytest.fixture
def xlbel(tmp_path: Path) -> Path:
    folder = tmp_path / "xlbel" / "v1.0"
    folder.mkdir(parents=True)
    for language in LANGUAGES:
        rows = ROWS.get(language, ["C0015967||fever||<tgt>fever</tgt>"])
        content = "".join(f"{row}\n" for row in rows)
        path = folder / f"{language}_1k_test_query_with_context.txt"
        path.write_text(content, encoding="utf-8")
    return tmp_path


def snapshot(file: Path) -> Path:
    """Makes a folder with `sources.toml` of the dictionary's folder, with it as the one source."""
    lines = [
        "[[source]]",
        'name = "names"',
        'reader = "dictionary"',
        f'files = ["{file.name}"]',
        'snapshot = "test"',
        'licence = "CC0-1.0"',
        "[source.sha256]",
        f'"{file.name}" = "{hashlib.sha256(file.read_bytes()).hexdigest()}"',
    ]
    (file.parent / "sources.toml").write_text("\n".join(lines), encoding="utf-8")
    return file.parent


def bioelx(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def built(home: Path, *arguments: object) -> Path:
    """The folder of the release that `bioelx build` makes with these options."""
    before = set(home.glob("releases/[0-9]*"))
    done = bioelx("build", *arguments)
    assert done.exit_code == 0, done.output
    [release] = set(home.glob("releases/[0-9]*")) - before
    return release


def names_of(release: Path) -> dict[str, set[str]]:
    kb = KnowledgeBase.open(release)
    return {
        kb.concept_id(row): {name.text for name in kb.names_of(row)}
        for row in range(kb.concept_count)
    }


def test_the_knowledge_base_is_the_dictionary_and_scores_follow_the_protocol(
    home: Path,
    dictionary: Path,
    xlbel: Path,
    small_snapshot: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIOELX_INDEX_EXACT_UP_TO", "0")
    active = built(home, "--data", small_snapshot)
    release = built(home, "--dictionary", dictionary)
    # Evaluated by its id; what is served stays as it was, and no id comes from there.
    assert active_release(home / "releases") == active.name
    manifest = read_manifest(release)
    assert [(each.name, each.snapshot) for each in manifest.sources] == [
        ("dictionary", "umls_5.txt")
    ]
    assert manifest.index.factory == "Flat"  # however many names there are
    expected: dict[str, set[str]] = {}
    for cuis, name in DICTIONARY:
        for cui in cuis.split("|"):
            expected.setdefault(f"umls:{cui}", set()).add(normalise(name))
    got = names_of(release)
    assert {each: set(map(normalise, names)) for each, names in got.items()} == expected
    assert manifest.concepts == len(expected)
    assert Counter(map(len, got.values())) == Counter(map(len, expected.values()))

    out = tmp_path / "out"
    options = ("--release", release.name, "--out", out, "--threads", 1)
    assert bioelx("eval", "run", "xlbel", "--data", xlbel, *options).exit_code == 0
    predictions = pq.read_table(next(out.rglob("predictions.parquet"))).to_pylist()
    ranks = {row["id"]: row["rank"] for row in predictions}
    # Any gold is right. A name of two concepts proposes the one with more names first. The last
    # row's concept is not in the dictionary.
    assert [ranks[f"fi/{row}"] for row in (1, 2, 3, 4)] == [1, 1, 2, None]
    assert [ranks[f"en/{row}"] for row in (1, 2)] == [1, 1]
    assert [row["reachable"] for row in predictions if row["id"] == "fi/4"] == [False]


def test_it_takes_the_place_of_the_snapshot(home: Path, dictionary: Path) -> None:
    for option in ("--data", "--endpoint"):
        with pytest.raises(BioelxError, match="dictionary takes the place of data"):
            bioelx("build", "--dictionary", dictionary, option, "http://localhost")
    with pytest.raises(FileError, match=r"none\.txt: no such file"):
        bioelx("build", "--dictionary", dictionary.with_name("none.txt"))


def test_packed_in_a_snapshot_and_with_the_umls_beside_it(
    home: Path, dictionary: Path, tmp_path: Path
) -> None:
    packed = dictionary.with_name("umls_5.txt.gz")
    packed.write_bytes(gzip.compress(dictionary.read_bytes()))
    alone = names_of(built(home, "--dictionary", dictionary))
    assert names_of(built(home, "--data", snapshot(packed))) == alone

    umls = tmp_path / "umls"
    umls.mkdir()
    (umls / "MRCONSO.RRF").write_text(MRCONSO, encoding="utf-8")
    (umls / "MRSTY.RRF").write_text(MRSTY, encoding="utf-8")
    both = names_of(built(home, "--dictionary", packed, "--umls", umls))
    assert both.keys() == {*alone, "umls:C0030705"}
    assert "천식" in both["umls:C0004096"]
    for concept, names in alone.items():
        assert set(map(normalise, names)) <= set(map(normalise, both[concept]))
