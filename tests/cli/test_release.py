"""`bioelx release` as a user types it: from two finished releases to one of them pruned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.confidence import ConfidenceModel
from bioelx.errors import BioelxError, FileError
from bioelx.kb.tables import (
    CONCEPTS_FILE,
    CONCEPTS_SCHEMA,
    NAMES_FILE,
    NAMES_SCHEMA,
    prepare,
    write_table,
)
from bioelx.linker import Linker
from bioelx.release import active_release, draft_folder, list_releases, read_manifest
from bioelx.release.store import finish_release

ASTHMA, FLU = "wikidata:Q35869", "wikidata:Q2840"
NAMES = {ASTHMA: ["asthma", "bronchial asthma"], FLU: ["influenza", "flu", "grippe"]}


def tables(retired: tuple[str, ...] = ()) -> tuple[pa.Table, pa.Table]:
    """Two concepts with their names; retired ones in favour of influenza, which gets the names."""
    empty = {"description": "", "types": ["disease"], "xrefs": []}
    concepts = [
        {
            **empty,
            "concept_id": concept_id,
            "label": texts[0],
            "xrefs": ["umls:C0004096"] if concept_id == ASTHMA else [],
            "status": "retired" if concept_id in retired else "active",
            "replaced_by": FLU if concept_id in retired else None,
        }
        for concept_id, texts in NAMES.items()
    ]
    shared = {"lang": "en", "kind": "label", "source": "test", "ambiguous": False}
    names = [
        {**shared, "concept_id": FLU if concept_id in retired else concept_id, "text": text}
        for concept_id, texts in NAMES.items()
        for text in texts
    ]
    return (
        pa.Table.from_pylist(concepts, CONCEPTS_SCHEMA),
        pa.Table.from_pylist(names, NAMES_SCHEMA),
    )


@pytest.fixture(scope="module")
def made(
    make_release: Callable[[pa.Table, pa.Table, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return make_release(*tables(), tmp_path_factory.mktemp("releases"))


@pytest.fixture
def good(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a release in a BIOELX_HOME, with a regression set that it answers."""
    monkeypatch.setenv("BIOELX_HOME", str(tmp_path))
    mentions = [(text, concept_id) for concept_id, texts in NAMES.items() for text in texts]
    rows = [
        {"id": f"{number}", "language": "en", "mention": text, "expected": [concept_id]}
        for number, (text, concept_id) in enumerate(mentions * 5)
    ]
    rows.append({"id": "none", "language": "de", "mention": "Reihenhaus", "expected": None})
    (tmp_path / "data").mkdir()
    lines = b"\n".join(map(orjson.dumps, rows))
    (tmp_path / "data" / "regression.jsonl").write_bytes(lines)
    return Path(shutil.copytree(made, tmp_path / "releases" / made.name))


def next_release(parent: Path, change: Callable[[Path], None]) -> Path:
    """A release like its parent but for what `change` does to its draft."""
    with draft_folder(parent.parent) as draft:
        for path in parent.rglob("*"):
            if path.is_file() and path.name != "manifest.json":
                copy = draft / path.relative_to(parent)
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(path.read_bytes())
        change(draft)
        manifest = replace(read_manifest(parent), parent=parent.name)
        return parent.parent / finish_release(draft, manifest, parent.parent).id


def unsure(draft: Path) -> None:
    """Links nothing any more."""
    replace(ConfidenceModel.open(draft), default_min_confidence=1.0).save(draft)


def as_good(draft: Path) -> None:
    replace(ConfidenceModel.open(draft), default_min_confidence=0.31).save(draft)


def without_asthma(draft: Path) -> None:
    for table, file in zip(prepare(*tables((ASTHMA,))), (CONCEPTS_FILE, NAMES_FILE), strict=True):
        write_table(table, draft / file)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["release", *map(str, arguments)])


def test_a_worse_release_is_refused_unless_forced(good: Path, tmp_path: Path) -> None:
    first = run("activate", good.name)
    assert "not compared: no parent of it is here" in first.stdout
    bad = next_release(good, unsure)
    refused = run("activate", bad.name)
    assert isinstance(refused.exception, BioelxError)
    assert "1 of 26 mentions come out right, were 26" in str(refused.exception)
    assert "--force" in str(refused.exception)
    assert active_release(good.parent) == good.name
    table = [line.replace("│", " ").split() for line in refused.stdout.splitlines()]
    assert ["en", "25", "25", "0", "0", "25", "0", "0"] in table
    assert ["de", "1", "1", "1", "0", "0", "0", "0"] in table

    better = next_release(good, as_good)
    assert f"{better.name} is active" in run("activate", better.name).stdout
    assert f"{bad.name} is active" in run("activate", bad.name, "--force").stdout
    assert f"{better.name} is active" in run("rollback").stdout
    assert run("activate", bad.name, "--gate-margin", "1").exit_code == 0
    kept = tmp_path / "evaluations" / good.name / "regression.json"
    assert orjson.loads(kept.read_bytes())["release"] == good.name


def test_a_parent_is_asked_once(
    good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("activate", good.name)
    asked: list[str] = []
    opened = Linker.open.__func__  # type: ignore[attr-defined]

    def count(cls: type[Linker], release: Path, **options: object) -> Linker:
        asked.append(Path(release).name)
        return opened(cls, release, **options)

    monkeypatch.setattr(Linker, "open", classmethod(count))
    child, sister = next_release(good, as_good), next_release(good, unsure)
    for release in (child, sister, child):
        run("activate", release.name)
    assert asked == [child.name, good.name, sister.name]
    (tmp_path / "data" / "regression.jsonl").write_bytes(
        b'{"id": "1", "language": "en", "mention": "flu", "expected": ["wikidata:Q2840"]}'
    )
    few = run("activate", sister.name)
    assert "too few" in few.stdout
    assert asked[3:] == [sister.name, good.name]


def test_a_parent_that_is_damaged_does_not_stand_in_the_way(good: Path) -> None:
    run("activate", good.name)
    child = next_release(good, as_good)
    (good / "confidence.json").write_bytes(b"{}")
    said = run("activate", child.name)
    assert said.exit_code == 0
    assert "cannot be opened" in said.stdout
    assert active_release(good.parent) == child.name


def test_a_retired_id_that_is_expected_stands_for_its_successor(good: Path) -> None:
    run("activate", good.name)
    merged = next_release(good, without_asthma)
    # With one concept left, whatever is no concept is close to it: that row is not the point.
    assert run("activate", merged.name, "--gate-margin", 0.05).exit_code == 0
    answers = orjson.loads(
        (good.parents[1] / "evaluations" / merged.name / "regression.json").read_bytes()
    )["answers"]
    english = [answer for answer in answers if answer["language"] == "en"]
    assert {answer["linked"] for answer in english} == {FLU}
    assert all(answer["right"] for answer in english)


def test_a_benchmark_stands_in_the_gate_too(good: Path, tmp_path: Path) -> None:
    data = tmp_path / "xlbel" / "v1.0"
    data.mkdir(parents=True)
    for language in ("en", "es", "de", "fi", "ru", "tr", "ko", "zh", "ja", "th"):
        path = data / f"{language}_1k_test_query_with_context.txt"
        path.write_text("C0004096||asthma||<tgt>asthma</tgt>\n")
    run("activate", good.name)
    child = next_release(good, as_good)
    suite = ("--suite", "xlbel", "--data", tmp_path)
    assert run("activate", child.name, *suite).exit_code == 0
    merged = next_release(good, without_asthma)
    refused = run("activate", merged.name, *suite)
    assert "xlbel: R@1 falls by 100.0 points" in str(refused.exception)
    assert active_release(good.parent) == child.name
    assert run("activate", child.name, "--suite", "xlbel").exit_code == 2
    assert run("activate", child.name, *suite, "--force").exit_code == 2


def test_list_show_verify_prune(good: Path) -> None:
    child, third = next_release(good, as_good), next_release(good, unsure)
    for release in (good, child):
        run("activate", release.name)
    rows = [orjson.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert {row["id"]: row["state"] for row in rows} == {
        good.name: "previous",
        child.name: "active",
        third.name: "",
    }
    of_child = next(row for row in rows if row["id"] == child.name)
    assert of_child["bytes_of_its_own"] < 10_000 < of_child["bytes"]
    assert of_child["parent"] == good.name
    listed = run("list").stdout
    assert good.name in listed
    assert "on the disk in all" in listed

    shown = run("show", child.name).stdout
    assert "CC0-1.0" in shown
    assert "encoder/model.onnx" in shown
    assert orjson.loads(run("show", "--json").stdout)["id"] == child.name

    assert run("verify", "--all").stdout.count("all as the manifest says") == 3
    assert run("verify").exit_code == 0
    spoilt = bytearray((child / "confidence.json").read_bytes())
    spoilt[10] ^= 1
    (child / "confidence.json").write_bytes(spoilt)
    assert isinstance(run("verify", child.name).exception, FileError)
    every = run("verify", "--all")
    assert f"{child.name}/confidence.json: its sha256" in every.stdout.replace("\n", "")
    assert "1 releases are damaged" in str(every.exception)

    assert f"{third.name} would be removed" in run("prune", "--keep", 0, "--dry-run").stdout
    assert f"{third.name} removed" in run("prune", "--keep", 0).stdout
    assert set(list_releases(good.parent)) == {good.name, child.name}


def test_a_broken_manifest_does_not_hide_the_other_releases(good: Path) -> None:
    child = next_release(good, as_good)
    (child / "manifest.json").write_bytes(b"{")
    listed = run("list")
    assert good.name in listed.stdout
    assert "not a manifest" in listed.stdout


def test_diff_tells_what_came_went_and_moved(good: Path, tmp_path: Path) -> None:
    merged = next_release(good, without_asthma)
    out = tmp_path / "changes.jsonl"
    shown = run("diff", good.name, merged.name, "--out", out).stdout
    assert "Concepts that were retired: 1 of 1" in shown
    assert "Names that moved: 2 of 2" in shown
    assert run("diff", good.name, merged.name, "--json").stdout == out.read_text()
    counts, retired, *moved = map(orjson.loads, out.read_bytes().splitlines())
    assert (counts["concepts_retired"], counts["names_moved"]) == (1, 2)
    assert (retired["change"], retired["concept_id"], retired["successor"]) == (
        "retired",
        ASTHMA,
        FLU,
    )
    assert [(each["text"], each["before"], each["after"]) for each in moved] == [
        ("asthma", [ASTHMA], [FLU]),
        ("bronchial asthma", [ASTHMA], [FLU]),
    ]
