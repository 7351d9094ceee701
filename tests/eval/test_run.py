"""`bioelx eval` from end to end, on a tiny real release with the shipped encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from bioelx.errors import FileError, NotFoundError
from bioelx_eval.cli import app

ROWS = {
    "en": [
        "C0027051||heart attack||an acute <tgt>heart attack</tgt> .",
        "C0004096|C0000009||bronchial asthma||severe <tgt>bronchial asthma</tgt>",
        "C0036341||schizophrenia||<tgt>schizophrenia</tgt>",  # known, but without a CUI: wrong
        "C0000925||wound, incised||a <tgt>wound, incised</tgt>",  # of a retired concept: wrong
        "C0018681||HEADACHE||<tgt>HEADACHE</tgt>",
    ],
    "de": ["C0011849||Herzinfarkt||<tgt>Herzinfarkt</tgt>"],  # a name, but of another concept
}
COVERED = [
    ("en", 1, "C0027051", "heart attack"),
    ("en", 2, "C0004096|C0000009", "bronchial asthma"),
    ("en", 4, "C0000925", "wound, incised"),
    ("de", 1, "C0011849", "Herzinfarkt"),
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def run_xlbel(data: Path, release: Path, out: Path, *more: object) -> Result:
    return run(
        "run", "xlbel", "--data", data, "--release", release, "--out", out, "--threads", 1, *more
    )


def test_scores_report_and_predictions(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    data, out = write_xlbel(ROWS, COVERED), tmp_path / "new" / "out"
    result = run_xlbel(data, release, out, "--language", "en", "--language", "de")
    assert result.exit_code == 0

    content = orjson.loads((out / "scores.json").read_bytes())
    assert content["dataset"] == "xlbel"
    kb = content["knowledge_base"]
    assert kb["release"] == release.name
    assert (kb["concepts"], kb["names"]) == (6, 9)
    # Q12152 (3 names), Q35869 (2 ids, 2 names), Q12206 (2), umls:C0018681 (1); none is retired.
    assert (kb["scheme_ids"], kb["scheme_names"]) == (5, 8)

    scores = content["scores"]
    assert list(scores) == ["covered", "all", "covered_unseen", "all_unseen"]
    english = {subset: scores[subset]["languages"]["en"] for subset in scores}
    assert english["covered"] == {
        "rows": 3, "reachable": 2, "R@1": 0.666667, "R@5": 0.666667, "R@20": 0.666667
    }  # fmt: skip
    assert english["all"] == {"rows": 5, "reachable": 3, "R@1": 0.6, "R@5": 0.6, "R@20": 0.6}
    assert english["covered_unseen"] == {
        "rows": 2, "reachable": 1, "R@1": 0.5, "R@5": 0.5, "R@20": 0.5
    }  # fmt: skip
    german = scores["covered"]["languages"]["de"]
    assert (german["rows"], german["R@1"], german["R@20"]) == (1, 0.0, 1.0)
    assert scores["covered_unseen"]["languages"]["de"]["rows"] == 1
    assert scores["covered"]["macro"]["R@1"] == 0.333333
    assert scores["covered"]["micro"]["R@1"] == 0.5

    rows = {row["id"]: row for row in pq.read_table(out / "predictions.parquet").to_pylist()}
    assert list(rows) == ["en/1", "en/2", "en/3", "en/4", "en/5", "de/1"]
    assert [row["rank"] for row in rows.values()][:5] == [1, 1, None, None, 1]
    assert [row["named"] for row in rows.values()] == [True, False, False, False, True, False]
    first = rows["de/1"]["candidates"][0]
    assert (first["concept_id"], first["matched"]) == ("wikidata:Q12152", "Herzinfarkt")
    assert first["exact"]
    assert rows["en/2"]["gold"] == ["umls:C0004096", "umls:C0000009"]

    report = (out / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# XL-BEL v1.0\n")
    assert "| R@1 | 66.7 | 0.0 | 33.3 | 50.0 |" in report
    for text in (report, result.stdout.replace("\n", " ")):
        assert release.name in text
        assert "6 concepts, 9 names; 5 umls ids" in text
        assert "Not the published rows: en 5 of 1,000, de 1 of 1,000." in text
    assert "66.7" in result.stdout


def test_equal_runs_give_equal_bytes(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    data = write_xlbel(ROWS)
    for out in ("a", "b"):
        assert run_xlbel(data, release, tmp_path / out).exit_code == 0
    for name in ("scores.json", "report.md", "predictions.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    # Without a fixed list the covered rows are those that the release reaches.
    scores = orjson.loads((tmp_path / "a" / "scores.json").read_bytes())["scores"]
    assert scores["covered"]["languages"]["en"]["rows"] == 3
    assert scores["covered"]["micro"]["reachable"] == scores["covered"]["micro"]["rows"]


def test_a_failed_run_leaves_the_last_results_alone(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_xlbel(write_xlbel(ROWS), release, out, "--language", "en")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    bad = write_xlbel({"en": [*ROWS["en"], "C0004096||asthma"]})
    with pytest.raises(FileError, match=r"en_1k_test_query_with_context\.txt:6: "):
        run_xlbel(bad, release, out, "--language", "en")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_bad_arguments_are_named(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    data, out = write_xlbel(ROWS), tmp_path / "out"
    result = run("run", "xlbell", "--data", data, "--out", out)
    assert result.exit_code == 2
    assert "unknown dataset 'xlbell'" in result.output
    result = run_xlbel(data, release, out, "--language", "sv")
    assert result.exit_code == 2
    assert "'sv' is not in XL-BEL v1.0" in result.output
    with pytest.raises(FileError, match=r"nowhere: holds no XL-BEL"):
        run_xlbel(tmp_path / "nowhere", release, out)
    with pytest.raises(NotFoundError, match="nothing"):
        run_xlbel(data, tmp_path / "nothing", out)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"file: cannot be made a folder \(File exists\)"):
        run_xlbel(data, release, tmp_path / "file")


def test_list(write_xlbel: Callable[..., Path]) -> None:
    data = write_xlbel({})
    v1, v0 = run("list", "--data", data).stdout.split("xlbel-v0.0: ")
    assert v1.startswith(
        "xlbel: XL-BEL v1.0, 10 languages, 10,000 examples, licence MIT\n  from http"
    )
    assert v1.endswith(f"\n  in {data}\n")
    assert v0.endswith(f"\n  not in {data}\n")
    assert str(data) not in run("list").stdout
