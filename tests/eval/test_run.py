"""`bioelx eval` from end to end, on a tiny real release with the shipped encoder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from bioelx.errors import BioelxError, FileError, NotFoundError
from bioelx_eval.cli import app
from bioelx_eval.cli.options import groups_named
from bioelx_eval.datasets import DATASETS
from bioelx_eval.report.files import read_run

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

    folder = out / release.name / "xlbel"
    content = orjson.loads((folder / "scores.json").read_bytes())
    assert (content["schema"], content["dataset"]) == (3, "xlbel")
    kb = content["knowledge_base"]
    assert kb["release"] == release.name
    assert (kb["concepts"], kb["names"]) == (6, 9)
    # Q12152 (3 names), Q35869 (2 ids, 2 names), Q12206 (2), umls:C0018681 (1); none is retired.
    assert (kb["scheme_ids"], kb["scheme_names"]) == (5, 8)

    scores = content["scores"]
    assert list(scores) == ["covered", "all", "covered_unseen", "all_unseen"]
    english = {subset: scores[subset]["groups"]["en"] for subset in scores}
    assert list(english["all"]["metrics"]) == [
        "R@1", "R@5", "R@20", "MRR", "NIL precision", "NIL recall", "ECE"
    ]  # fmt: skip
    assert counts_and_recall(english["covered"]) == (3, 2, 0.666667, 0.666667)
    assert counts_and_recall(english["all"]) == (5, 3, 0.6, 0.6)
    assert counts_and_recall(english["covered_unseen"]) == (2, 1, 0.5, 0.5)
    assert counts_and_recall(scores["covered"]["groups"]["de"]) == (1, 1, 0, 1)
    assert scores["covered_unseen"]["groups"]["de"]["rows"] == 1
    assert scores["covered"]["macro"]["metrics"]["R@1"]["value"] == 0.333333
    micro = scores["covered"]["micro"]["metrics"]["R@1"]
    # All three English rows are drawn wrong, or all right, once in 27 and in 3.4 times.
    assert micro == {"value": 0.5, "low": 0.0, "high": 0.75}
    assert content["errors"] == {
        "linked though NIL": {"en": 0, "de": 0},
        "not covered": {"en": 2, "de": 0},
        "not retrieved": {"en": 0, "de": 0},
        "wrong type": {"en": 0, "de": 0},
        "ranked below": {"en": 0, "de": 1},
    }

    rows = {row["id"]: row for row in read_run(folder).predictions.to_pylist()}
    assert list(rows) == ["en/1", "en/2", "en/3", "en/4", "en/5", "de/1"]
    assert [row["rank"] for row in rows.values()][:5] == [1, 1, None, None, 1]
    assert [row["named"] for row in rows.values()] == [True, False, False, False, True, False]
    german = rows["de/1"]
    assert (german["gold_concepts"], german["gold_types"]) == (["wikidata:Q12206"], ["disease"])
    assert german["gold_labels"] == ["diabetes mellitus"]
    assert (german["language"], german["error"]) == ("de", "ranked below")
    first, right = german["candidates"][0], german["candidates"][german["rank"] - 1]
    assert (first["concept_id"], first["matched"]) == ("wikidata:Q12152", "Herzinfarkt")
    assert (first["matched_lang"], first["matched_source"]) == ("de", "test")
    assert first["exact"]
    assert not first["right"]
    assert (right["concept_id"], right["types"], right["right"]) == (
        "wikidata:Q12206",
        ["disease"],
        True,
    )
    assert german["link"] == first["concept_id"]
    assert german["confidence"] == first["probability"]
    assert first["ranker_log_odds"] is None
    assert rows["en/2"]["gold"] == ["umls:C0004096", "umls:C0000009"]
    assert (rows["en/1"]["before"], rows["en/1"]["after"]) == ("an acute ", " .")

    report = (folder / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# XL-BEL v1.0\n")
    assert "| R@1 | 66.7 | 0.0 | 33.3 (0.0–50.0) | 50.0 (0.0–75.0) |" in report
    line = f"| XL-BEL v1.0 | {release.name} | Covered rows | 4 | 3 | 33.3 / 50.0 |"
    assert line in (out / "report.md").read_text(encoding="utf-8")
    assert "XL-BEL v1.0" in (out / "report.html").read_text(encoding="utf-8")
    for text in (report, result.stdout.replace("\n", " ")):
        assert release.name in text
        assert "6 concepts, 9 names; 5 umls ids" in text
        assert "Not the published rows: en 5 of 1,000, de 1 of 1,000." in text
    assert "66.7" in result.stdout


def counts_and_recall(score: dict[str, Any]) -> tuple[float, ...]:
    recalls = (score["metrics"][name]["value"] for name in ("R@1", "R@20"))
    return score["rows"], score["reachable"], *recalls


def test_equal_runs_give_equal_bytes(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    data = write_xlbel(ROWS)
    for out in ("a", "b"):
        assert run_xlbel(data, release, tmp_path / out).exit_code == 0
    first, second = (tmp_path / out / release.name / "xlbel" for out in ("a", "b"))
    for name in ("scores.json", "report.md", "predictions.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    # Without a fixed list the covered rows are those that the release reaches.
    scores = orjson.loads((first / "scores.json").read_bytes())["scores"]
    assert scores["covered"]["groups"]["en"]["rows"] == 3
    assert scores["covered"]["micro"]["reachable"] == scores["covered"]["micro"]["rows"]


def test_a_failed_run_leaves_the_last_results_alone(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_xlbel(write_xlbel(ROWS), release, out, "--language", "en")
    before = contents(out)
    assert len(before) == 5  # three files of the run, two reports in OUT
    bad = write_xlbel({"en": [*ROWS["en"], "C0004096||asthma"]})
    with pytest.raises(FileError, match=r"en_1k_test_query_with_context\.txt:6: "):
        run_xlbel(bad, release, out, "--language", "en")
    assert contents(out) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_done_is_not_linked_again(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    data, out = write_xlbel(ROWS), tmp_path / "out"

    def again(*more: object) -> str:
        return run_xlbel(data, release, out, "--language", "en", *more).stdout

    assert "5 mentions in " in again()
    before = contents(out)
    (out / "report.md").unlink()
    assert "5 mentions were linked before" in again()
    assert contents(out) == before
    assert "5 mentions in " in again("--fresh")
    assert contents(out) == before

    # Other metrics are computed from what was linked, unless they look at more candidates.
    assert "5 mentions were linked before" in again("--metric", "R@3", "--metric", "nil f1")
    scores = read_run(out / release.name / "xlbel").scores["scores"]
    assert list(scores["all"]["micro"]["metrics"]) == ["R@3", "NIL F1"]
    assert "5 mentions in " in again("--metric", "R@30")

    write_xlbel({"en": [*ROWS["en"][:4], "C0004096||astma||<tgt>astma</tgt>"]})
    assert "5 mentions in " in again()  # of which one is another


def test_several_datasets_and_releases(
    write_xlbel: Callable[..., Path],
    release: Path,
    tiny_release: Path,
    tmp_path: Path,
) -> None:
    data, out = write_xlbel(ROWS).parents[1], tmp_path / "out"
    (data / "test_corpus.txt").write_text(BC5CDR, encoding="utf-8")
    releases = [option for each in (release, tiny_release) for option in ("--release", each)]
    result = run(
        "run", "xlbel", "bc5cdr", "xlbel", "--data", data, "--out", out, "--threads", 1, *releases
    )
    assert result.exit_code == 0
    assert "38 mentions in " in result.stdout
    lines = (out / "report.md").read_text(encoding="utf-8").splitlines()
    told = [line.split(" | ")[:2] for line in lines if " | All rows | " in line]
    assert told == [
        [f"| {title}", each.name]
        for each in (release, tiny_release)
        for title in ("XL-BEL v1.0", "BC5CDR test")
    ]
    for each in (release, tiny_release):
        for name in ("xlbel", "bc5cdr"):
            found = read_run(out / each.name / name)
            assert found.scores["knowledge_base"]["release"] == each.name
            assert found.scores["dataset"] == name


def test_names_seen_in_training_are_left_out_of_the_unseen_rows(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    data, out = write_xlbel(ROWS, COVERED), tmp_path / "out"
    names = tmp_path / "names.txt"
    names.write_text("Bronchial  Asthma\nsomething else\n", encoding="utf-8")
    run_xlbel(data, release, out, "--language", "en", "--training-names", names)
    found = read_run(out / release.name / "xlbel")
    sha256 = hashlib.sha256(names.read_bytes()).hexdigest()
    assert found.scores["options"]["training_names"] == sha256
    seen = [row["mention"] for row in found.predictions.to_pylist() if row["seen"]]
    assert seen == ["bronchial asthma"]
    assert found.scores["scores"]["covered_unseen"]["micro"]["rows"] == 1
    names.write_text("\n", encoding="utf-8")
    with pytest.raises(FileError, match=r"names\.txt: holds no name"):
        run_xlbel(data, release, out, "--training-names", names)


def test_the_time_goes_into_shares_and_beside_pure_encoding(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    result = run_xlbel(write_xlbel(ROWS), release, tmp_path / "out", "--measure")
    said = result.stdout.replace("\n", " ")
    assert re.search(
        r"14 mentions in [\d.]+ s: encoding .* search .* ranking 0\.0 s .* rest ", said
    )
    assert re.search(r"Their 7 distinct texts .* took [\d.]+ times as long\.", said)


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
    with pytest.raises(BioelxError, match="unknown metric 'R@x'; known are R@k"):
        run_xlbel(data, release, out, "--metric", "R@x")
    for wrong in (["--rerank", "auto"], ["--ranker", "somewhere"]):
        result = run_xlbel(data, release, out, *wrong)
        assert result.exit_code == 2
        assert "--ranker MODEL and --rerank auto or always need each other" in result.output
    assert not out.exists()
    (tmp_path / "file").touch()
    with pytest.raises(
        FileError, match=r"file/.*xlbel: cannot be made a folder \(Not a directory\)"
    ):
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

    found = read_run(tmp_path / "all" / release.name / "bc5cdr")
    scores = found.scores["scores"]
    disease, chemical = (scores["all"]["groups"][each] for each in ("Disease", "Chemical"))
    # Right is a composite whose parts all are, within k: asthma's id for the first of three is
    # not enough. A mention without a concept counts among all rows, and as wrong.
    assert counts_and_recall(disease) == (3, 3, 0.666667, 1)
    assert counts_and_recall(chemical) == (2, 0, 0, 0)
    assert scores["covered"]["micro"]["rows"] == 3

    rows = found.predictions.to_pylist()
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
    # A composite is as sure as its least sure part, and linked if all its parts are.
    composite = rows[1]
    sure = [
        next(c["probability"] for c in composite["candidates"] if c["part"] == p) for p in (0, 1)
    ]
    assert composite["confidence"] == min(sure)
    assert composite["link"] == "wikidata:Q12152|wikidata:Q35869"
    assert [row["error"] for row in rows[:4]] == [None, None, "ranked below", "not covered"]
    assert rows[4]["error"] == (None if rows[4]["link"] is None else "linked though NIL")
    report = (found.folder / "report.md").read_text(encoding="utf-8")
    assert "|  | Chemical | Disease | macro | micro |" in report

    result = run(*command, "--out", tmp_path / "one", "--group", "Chemical")
    assert result.exit_code == 0
    one = read_run(tmp_path / "one" / release.name / "bc5cdr")
    assert list(one.scores["scores"]["all"]["groups"]) == ["Chemical"]


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
    folder = out / release.name / "wikimed-all"
    content = read_run(folder).scores
    assert content["skipped"] == {"their offsets do not enclose them": 2, "they have no CUI": 1}
    assert content["scores"]["all"]["groups"]["de"]["rows"] == 1
    assert content["scores"]["all"]["groups"]["de"]["metrics"]["R@1"]["value"] == 1
    said = (
        "Mentions skipped: 2 because their offsets do not enclose them; 1 because they have no CUI."
        " Not the published rows: de 1 of 413,913."
    )
    assert said in (folder / "report.md").read_text(encoding="utf-8")
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
