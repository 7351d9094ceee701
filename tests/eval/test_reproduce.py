"""Expected scores: written down from a run, reproduced, and missed, on a tiny real release."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from bioelx.errors import FileError
from bioelx.release import read_manifest
from bioelx.types import Rerank
from bioelx_eval import expected as expecting
from bioelx_eval.cli import app
from bioelx_eval.expected import (
    Verdict,
    check,
    differences,
    expected_of,
    read_expected,
    write_expected,
)
from bioelx_eval.report.files import Run, read_run

ROWS = {
    "en": [
        "C0027051||heart attack||an acute <tgt>heart attack</tgt> .",
        "C0036341||schizophrenia||<tgt>schizophrenia</tgt>",
        "C0018681||HEADACHE||<tgt>HEADACHE</tgt>",
        "C0018681||head ache||<tgt>head ache</tgt>",
    ],
    "de": ["C0011849||Herzinfarkt||<tgt>Herzinfarkt</tgt>"],
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), ROWS)


def write(folder: Path, rows: Mapping[str, Sequence[str]]) -> Path:
    """Writes XL-BEL v1.0 in these languages."""
    for language, of_language in rows.items():
        path = folder / f"{language}_1k_test_query_with_context.txt"
        path.write_text("".join(f"{row}\n" for row in of_language), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("out")
    options = ("--release", release, "--out", out, "--threads", 1)
    groups = ("--group", "en", "--group", "de")
    assert run("run", "xlbel", "--data", data, *options, *groups).exit_code == 0
    return out / release.name / "xlbel"


@pytest.fixture
def written(finished: Path, release: Path, tmp_path: Path) -> Path:
    """The file of what is to be expected of it."""
    result = run("expect", finished, "--release", release, "--out", tmp_path / "expected")
    assert result.exit_code == 0
    assert "expected/xlbel.yaml" in result.stdout.replace("\n", "")
    return tmp_path / "expected" / "xlbel.yaml"


def try_again(written: Path, data: Path, release: Path, tmp_path: Path, *more: object) -> Result:
    options = ("--release", release, "--out", tmp_path / "again", "--threads", 1, *more)
    return run("reproduce", written, "--data", data, *options)


def test_what_was_written_down_comes_out(
    written: Path, data: Path, release: Path, tmp_path: Path
) -> None:
    result = try_again(written, data, release, tmp_path)
    assert result.exit_code == 0
    assert "Differs" not in result.stdout
    assert ", 0 close, 0 FAIL" in result.stdout

    raw = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert raw["command"]["dataset"] == "xlbel"
    assert raw["command"]["groups"] == ["en", "de"]
    assert raw["scores"]["all"]["en"]["R@1"] == 0.75
    assert raw["scores"]["all"]["macro"]["R@1"] == 0.375
    assert raw["fingerprint"]["names"] == read_manifest(release).files["names.arrow"].sha256
    assert "{R@1: 0.75, " in written.read_text(encoding="utf-8")
    count = sum(len(each) for columns in raw["scores"].values() for each in columns.values())
    assert f"xlbel.yaml: {count} OK" in result.stdout


def test_scores_that_do_not_come_out_fail(
    written: Path, data: Path, release: Path, tmp_path: Path
) -> None:
    content = written.read_text(encoding="utf-8").replace("en: {R@1: 0.75,", "en: {R@1: 0.1,")
    written.write_text(content, encoding="utf-8")
    result = try_again(written, data, release, tmp_path)
    assert result.exit_code == 1
    assert "FAIL +65.0" in result.stdout
    assert "1 FAIL" in result.stdout or "2 FAIL" in result.stdout


def test_other_mentions_are_named_and_no_score_is_more_than_close(
    written: Path, release: Path, tmp_path: Path
) -> None:
    other = {**ROWS, "de": ["C0011849||Infarkt||<tgt>Infarkt</tgt>"]}
    result = try_again(written, write(tmp_path, other), release, tmp_path)
    assert "Differs: examples " in result.stdout
    assert ", expected " in result.stdout
    assert "xlbel.yaml: 0 OK" in result.stdout


def test_bad_use_is_named(finished: Path, data: Path, release: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.yaml: no such file"):
        run("reproduce", tmp_path / "nothing.yaml", "--data", data)
    with pytest.raises(FileError, match=r"scores\.json: no such file"):
        run("expect", tmp_path, "--release", release, "--out", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be made a folder"):
        run("expect", finished, "--release", release, "--out", tmp_path / "file")


def test_without_files_it_says_where_they_should_be(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["bioelx_eval.cli.reproduce"], "EXPECTED", tmp_path)
    with pytest.raises(FileError, match="holds no files of expected scores"):
        run("reproduce", "--data", data)


def test_a_run_of_another_release_is_no_model(
    finished: Path, tiny_release: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=r"is a run of .*, not of "):
        run("expect", finished, "--release", tiny_release, "--out", tmp_path)


def test_a_ranker_must_be_found(written: Path, data: Path, release: Path, tmp_path: Path) -> None:
    ranked = read_expected(written)
    command = replace(ranked.command, rerank=Rerank.AUTO, ranker="none-such")
    write_expected(replace(ranked, command=command), written)
    with pytest.raises(FileError, match="needs --ranker FOLDER: where none-such is"):
        try_again(written, data, release, tmp_path)


# Verdicts


def verdict(finished: Path, release: Path, expected: float, **changes: object) -> Verdict:
    """The verdict on R@1 of English, 0.75 over 4 rows, where so much was expected."""
    of_run, manifest = read_run(finished), read_manifest(release)
    wanted = expected_of(of_run, manifest, tolerance=0.3)
    fingerprint = replace(wanted.fingerprint, **changes)
    scores = {"all": {"en": {"R@1": expected}}}
    wanted = replace(wanted, fingerprint=fingerprint, scores=scores)
    [found] = check(wanted, of_run, manifest)
    return found.verdict


def test_verdicts(finished: Path, release: Path) -> None:
    assert verdict(finished, release, 0.75) is Verdict.OK
    assert verdict(finished, release, 0.45) is Verdict.OK
    assert verdict(finished, release, 0.44) is Verdict.CLOSE
    assert verdict(finished, release, 0.15) is Verdict.CLOSE
    assert verdict(finished, release, 0.14) is Verdict.FAIL
    # On something else than it was taken on, a score is close at best.
    for changed in ("encoder", "index", "concepts", "names", "examples"):
        assert verdict(finished, release, 0.75, **{changed: "x"}) is Verdict.CLOSE
        assert verdict(finished, release, 0.14, **{changed: "x"}) is Verdict.FAIL


def test_one_row_is_within_every_tolerance(finished: Path, release: Path) -> None:
    of_run, manifest = read_run(finished), read_manifest(release)
    wanted = expected_of(of_run, manifest, tolerance=0.0)
    for value, expected in ((0.5, Verdict.OK), (0.25, Verdict.CLOSE), (0.24, Verdict.FAIL)):
        scores = {"all": {"en": {"R@1": value}}}
        [found] = check(replace(wanted, scores=scores), of_run, manifest)
        assert found.verdict is expected


def test_scores_that_are_not_there_fail(finished: Path, release: Path) -> None:
    of_run, manifest = read_run(finished), read_manifest(release)
    wanted = expected_of(of_run, manifest)
    absent = {"all": {"xx": {"R@1": 0.1}, "en": {"R@7": 0.1}}, "none": {"en": {"R@1": 0.1}}}
    found = check(replace(wanted, scores=absent), of_run, manifest)
    assert [each.verdict for each in found] == [Verdict.FAIL] * 3
    none = {"all": {"xx": {"R@1": None}}}
    [found_none] = check(replace(wanted, scores=none), of_run, manifest)
    assert found_none.verdict is Verdict.OK


def test_what_differs_is_said_exactly(finished: Path, release: Path) -> None:
    of_run, manifest = read_run(finished), read_manifest(release)
    wanted = expected_of(of_run, manifest)
    assert differences(wanted, of_run, manifest) == []
    was = replace(
        wanted,
        command=replace(wanted.command, groups=["en"]),
        fingerprint=replace(wanted.fingerprint, encoder="abc", names="0" * 64),
    )
    assert differences(was, of_run, manifest) == [
        "groups en, de, expected en",
        f"encoder {manifest.encoder.fingerprint}, expected abc",
        f"names {manifest.files['names.arrow'].sha256[:12]}…, expected {'0' * 12}…",
    ]


def test_the_fingerprint_is_of_the_mentions_and_their_gold(finished: Path, release: Path) -> None:
    of_run, manifest = read_run(finished), read_manifest(release)
    whole = expecting.fingerprint_of(of_run, manifest)
    cut = Run(of_run.folder, of_run.scores, of_run.predictions.slice(1))
    assert expecting.fingerprint_of(cut, manifest) != whole
    answers = of_run.predictions.drop_columns("candidates")
    assert expecting.fingerprint_of(Run(of_run.folder, of_run.scores, answers), manifest) == whole


# Files


def test_a_file_is_read_as_it_was_written(finished: Path, release: Path, tmp_path: Path) -> None:
    wanted = expected_of(read_run(finished), read_manifest(release), tolerance=0.02)
    write_expected(wanted, tmp_path / "x.yaml")
    assert read_expected(tmp_path / "x.yaml") == wanted


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema: 1", "schema: 2", "not a file of expected scores of schema 1"),
        ("schema: 1", "[", r"x\.yaml:\d+: not YAML"),
        ("dataset: xlbel", "dataset: xlbell", "command.dataset: unknown dataset 'xlbell'"),
        ("rerank: never", "rerank: sometimes", "command.rerank: "),
        ("tolerance: 0.02", "tolerance: high", "tolerance: "),
        ("encoder:", "coder:", "fingerprint.encoder: "),
        ("R@1: 0.75", "R@1: most", r"scores\..*R@1: "),
        ("scores:", "others:", "scores: Field required"),
    ],
)
def test_malformed_files_are_refused_with_the_field(
    finished: Path, release: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "x.yaml"
    write_expected(expected_of(read_run(finished), read_manifest(release), tolerance=0.02), path)
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new), encoding="utf-8")
    with pytest.raises(FileError, match=message):
        read_expected(path)


@pytest.mark.parametrize("content", [b"", b"x", b"- 1\n", b"\xff", b"schema: 1\nscores: {}\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(FileError, match=r"x\.yaml"):
        read_expected(tmp_path / "x.yaml")
