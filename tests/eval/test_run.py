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
from bioelx_eval.cli.options import groups_named
from bioelx_eval.datasets import DATASETS

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
    english = {subset: scores[subset]["groups"]["en"] for subset in scores}
    assert english["covered"] == {
        "rows": 3, "reachable": 2, "R@1": 0.666667, "R@5": 0.666667, "R@20": 0.666667
    }  # fmt: skip
    assert english["all"] == {"rows": 5, "reachable": 3, "R@1": 0.6, "R@5": 0.6, "R@20": 0.6}
    assert english["covered_unseen"] == {
        "rows": 2, "reachable": 1, "R@1": 0.5, "R@5": 0.5, "R@20": 0.5
    }  # fmt: skip
    german = scores["covered"]["groups"]["de"]
    assert (german["rows"], german["R@1"], german["R@20"]) == (1, 0.0, 1.0)
    assert scores["covered_unseen"]["groups"]["de"]["rows"] == 1
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
    assert scores["covered"]["groups"]["en"]["rows"] == 3
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


BC5CDR = """\
1|t|Heart attack and asthma.
1|a|An infarct, AMI.
1\t0\t12\tHeart attack\tDisease\tD009203
1\t0\t23\tHeart attack and asthma\tDisease\tD009203|D001249\tHeart attack|asthma
1\t0\t23\tHeart attack and asthma\tDisease\tD009203|D000001\tHeart attack|schizophrenia
1\t25\t35\tAn infarct\tChemical\tD000001
1\t37\t40\tAMI\tChemical\t-1

"""


def test_groups_composites_and_nil(release: Path, tmp_path: Path) -> None:
    (tmp_path / "test_corpus.txt").write_text(BC5CDR, encoding="utf-8")
    command = ["run", "bc5cdr", "--data", tmp_path, "--release", release, "--threads", 1]
    assert run(*command, "--out", tmp_path / "all").exit_code == 0

    scores = orjson.loads((tmp_path / "all" / "scores.json").read_bytes())["scores"]
    disease, chemical = (scores["all"]["groups"][each] for each in ("Disease", "Chemical"))
    # Right is a composite whose parts all are, within k: asthma's id for the first of three is
    # not enough. A mention without a concept counts among all rows, and as wrong.
    assert (disease["rows"], disease["reachable"], disease["R@1"]) == (3, 3, 0.666667)
    assert (chemical["rows"], chemical["reachable"], chemical["R@20"]) == (2, 0, 0)
    assert scores["covered"]["micro"]["rows"] == 3

    rows = pq.read_table(tmp_path / "all" / "predictions.parquet").to_pylist()
    ranks = [row["rank"] for row in rows]
    assert ranks[:2] == [1, 1]
    assert ranks[2] > 1  # where the second part has the first one's concept
    assert ranks[3:] == [None, None]
    assert [row["gold"] for row in rows][3:] == [["mesh:D000001"], []]
    firsts = [each for each in rows[1]["candidates"] if each["exact"]]
    assert [(each["part"], each["matched"]) for each in firsts] == [
        (0, "heart attack"),
        (1, "asthma"),
    ]
    report = (tmp_path / "all" / "report.md").read_text(encoding="utf-8")
    assert "|  | Chemical | Disease | macro | micro |" in report

    result = run(*command, "--out", tmp_path / "one", "--group", "Chemical")
    assert result.exit_code == 0
    scores = orjson.loads((tmp_path / "one" / "scores.json").read_bytes())["scores"]
    assert list(scores["all"]["groups"]) == ["Chemical"]


def test_what_is_skipped_is_reported(release: Path, tmp_path: Path) -> None:
    text = "Ein Herzinfarkt."
    mentions = [
        {"mention": "Herzinfarkt", "start_index": start, "end_index": start + 11, "cui": cui}
        for start, cui in ((4, "C0027051"), (5, "C0027051"), (6, "C0027051"), (4, "None"))
    ]
    page = {"id": "1", "text": text, "mentions": mentions}
    (tmp_path / "WikiMed-DE-BEL.json").write_bytes(orjson.dumps(page))
    out = tmp_path / "out"
    result = run(
        "run", "wikimed-all", "--data", tmp_path, "--release", release, "--out", out, "--threads", 1
    )
    assert result.exit_code == 0
    content = orjson.loads((out / "scores.json").read_bytes())
    assert content["skipped"] == {"their offsets do not enclose them": 2, "they have no CUI": 1}
    assert content["scores"]["all"]["groups"]["de"]["rows"] == 1
    assert content["scores"]["all"]["groups"]["de"]["R@1"] == 1
    said = (
        "Mentions skipped: 2 because their offsets do not enclose them; 1 because they have no CUI."
        " Not the published rows: de 1 of 413,913."
    )
    assert said in (out / "report.md").read_text(encoding="utf-8")
    assert said in result.stdout


def test_a_word_names_all_groups_that_have_it(tmp_path: Path) -> None:
    mantra = DATASETS["mantra"]
    assert groups_named(mantra, ["de"]) == ["EMEA de", "Patents de", "Medline de"]
    assert groups_named(mantra, ["Patents", "EMEA de", "Patents de"]) == [
        "Patents en",
        "Patents de",
        "Patents fr",
        "EMEA de",
    ]
    result = run("run", "mantra", "--data", tmp_path, "--out", tmp_path, "--language", "Patents es")
    assert result.exit_code == 2
    assert "'Patents es' is not in Mantra GSC" in result.output
