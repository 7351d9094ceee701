"""A small ranker trained for real: it learns, goes on after a stop, and serves without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bioelx.errors import BioelxError, FileError
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.ranking import Window, open_ranker
from bioelx_index.train.ranker.settings import LISTS_FILE, RankerSettings

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

SMALL = {
    "names": 400, "held_out": 0.2, "judged": 20, "steps": 40, "batch": 8, "candidates": 4,
    "rate": 2e-3, "head_rate": 1e-2, "warm_up_steps": 2, "checkpoint_steps": 10, "judge_steps": 40,
    "layers": 1, "pieces": 0, "window_tokens": 24, "candidate_tokens": 16, "embeddings": True,
}  # fmt: skip
BODIES = {
    "lung": "an organ of the chest that takes up air",
    "heart": "a muscle of the chest that moves the blood",
    "liver": "a gland of the belly that makes bile",
    "kidney": "a gland of the belly that makes urine",
}
KINDS = {
    "inflammation": "of which the cause is a germ or the body itself",
    "tumour": "in which cells grow without an end",
    "injury": "that a fall or a blow has made",
}
BC5CDR = """\
1|t|A lung tumour.
1|a|The tumour grew.
1\t2\t13\tlung tumour\tDisease\tD000001

"""


@pytest.fixture(scope="module")
def described(
    make_release: Callable[[pa.Table, pa.Table, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A release whose concepts have definitions, and share names that only these tell apart."""
    concepts, names = [], []
    for number, (body, of_body) in enumerate(BODIES.items()):
        for place, (kind, of_kind) in enumerate(KINDS.items()):
            concept_id = f"wikidata:Q{10 * number + place + 1}"
            first = f"A disease of the {body}, {of_body}."
            told = {
                "concept_id": concept_id, "label": f"{body} {kind}", "types": ["disease"],
                "description": f"{first} A disease {of_kind}.", "status": "active",
                "xrefs": ["mesh:D000001"] if (body, kind) == ("lung", "tumour") else [],
            }  # fmt: skip
            concepts.append(told)
            shared = {"kind": "alias", "source": "test", "ambiguous": False, "lang": "en"}
            for text in (f"{body} {kind}", f"{kind} of the {body}", f"{body[:2]}{kind[:2]}", kind):
                names.append({**shared, "concept_id": concept_id, "text": text})
    return make_release(
        pa.Table.from_pylist(concepts, CONCEPTS_SCHEMA),
        pa.Table.from_pylist(names, NAMES_SCHEMA),
        tmp_path_factory.mktemp("releases"),
    )


@pytest.fixture(scope="module")
def base(
    make_torch_model: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return make_torch_model(tmp_path_factory.mktemp("base"), 32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for part in ("train", "dev"):
        (folder / f"{part}_corpus.txt").write_text(BC5CDR, encoding="utf-8")
    said = {
        "curie": ["wikidata:Q1", "wikidata:Q2", "mesh:D000001"],
        "lang": ["es", "de", "es"],
        "text": [f"{word} que se encuentra en el pecho" for word in ("uno", "dos", "tres")],
    }
    pq.write_table(pa.table(said), folder / "passages.parquet")
    return folder


def train(base: Path, release: Path, data: Path, out: Path, **changes: object) -> Path:
    from rich.console import Console

    from bioelx_index.progress import Stages
    from bioelx_index.train.ranker.train import train_ranker

    sources = {"base": str(base), "bc5cdr": data, "passages": data / "passages.parquet"}
    settings = RankerSettings(**sources | SMALL | changes)
    return train_ranker(release, settings, out, Stages(Console(quiet=True)))


@pytest.fixture(scope="module")
def trained(
    base: Path, described: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a training that nothing disturbed."""
    return train(base, described, data, tmp_path_factory.mktemp("trained")).parent


def log_of(training: Path) -> list[dict]:
    return json.loads((training / "training.json").read_bytes())


def losses_of(training: Path) -> list[float]:
    return [line["loss"] for line in log_of(training) if "loss" in line]


def test_it_learns_and_shows_what(trained: Path) -> None:
    log, losses = log_of(trained), losses_of(trained)
    assert losses[-1] < losses[0]
    assert any("eval_gain" in line for line in log)
    assert (trained / "training.png").stat().st_size > 1000
    card = (trained / "ranker" / "README.md").read_text(encoding="utf-8")
    for said in ("BC5CDR train", "CC0-1.0", "| ambiguous |", "steps = 40", "Mean gain"):
        assert said in card
    assert str(trained) not in card


def test_what_it_exports_equals_what_it_trained(trained: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig

    from bioelx_index.train.export import read_parent
    from bioelx_index.train.ranker.lists import read_lists
    from bioelx_index.train.ranker.model import CrossEncoder
    from bioelx_index.train.ranker.train import INPUTS, PairBuilder, collate

    parent = read_parent(trained / "model")
    model = CrossEncoder(BertConfig(**parent.config))
    tensors = {name: torch.from_numpy(each.copy()) for name, each in parent.tensors.items()}
    head = {name: tensors.pop(f"head.{name}") for name in ("likeness", "first", "bias")}
    model.body.load_state_dict(tensors)
    for name, values in head.items():
        getattr(model, name).data = values
    tokenizer = Tokenizer.from_file(str(trained / "ranker" / "tokenizer.json"))
    pairs = PairBuilder(tokenizer, window_tokens=24, candidate_tokens=16)
    ranker = open_ranker(str(trained / "ranker"), threads=1)
    lists = read_lists(trained / LISTS_FILE)
    expected, scores = [], []
    for at in range(0, 40, 4):
        choice = lists[at]
        batch = collate([choice], pairs)
        with torch.inference_mode():
            expected += model(**{name: batch[name] for name in INPUTS}).tolist()
        scores += ranker.log_odds(choice.window, choice.candidates)
    apart = np.abs(np.array(scores) - np.array(expected))
    assert np.std(expected) > 0.1
    assert apart.mean() < 0.2 * np.std(expected)


def test_the_lists_hide_what_would_give_the_answer_away(trained: Path) -> None:
    from bioelx_index.train.ranker.lists import read_lists

    lists = read_lists(trained / LISTS_FILE)
    assert {"own definition", "ambiguous", "bare", "bc5cdr-train", "bc5cdr-dev"} <= {*lists.kinds}
    hidden = absent = 0
    for choice in (lists[at] for at in range(len(lists))):
        assert len(choice.candidates) == len(choice.priors) == len(choice.right)
        assert choice.candidates
        absent += not any(choice.right)
        context = f"{choice.window.before}{choice.window.after}"
        for candidate, right in zip(choice.candidates, choice.right, strict=True):
            description = candidate.concept.description
            if choice.kind in ("own definition", "ambiguous"):
                assert not (description and description in context)
            told = {candidate.concept.label, candidate.matched.text, *candidate.names}
            hidden += right and choice.window.mention not in told
    assert hidden
    assert absent


def test_held_out_concepts_are_not_learnt_from(trained: Path) -> None:
    from bioelx_index.train.ranker.lists import read_lists
    from bioelx_index.train.ranker.train import Draws

    lists = read_lists(trained / LISTS_FILE)
    held = lists.of(["own definition", "ambiguous", "bare"], held_out=True)

    def right(choice) -> set[str]:
        pairs = zip(choice.candidates, choice.right, strict=True)
        return {candidate.concept.label for candidate, is_right in pairs if is_right}

    kept = set().union(*(right(held[at]) for at in range(len(held))))
    draws = Draws(lists, RankerSettings(**SMALL, bc5cdr_share=0.0))
    drawn = [draws[number] for number in range(60)]
    # A label that was hidden gives way to another name of the concept.
    labels = {f"{body} {kind}" for body in BODIES for kind in KINDS}
    assert kept & labels
    assert not set().union(*map(right, drawn)) & kept & labels
    assert all(len(choice.candidates) <= SMALL["candidates"] for choice in drawn)
    assert [each.window for each in drawn] == [draws[number].window for number in range(60)]


def test_it_goes_on_where_it_was_stopped(
    base: Path, described: Path, data: Path, trained: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from bioelx_index.train.ranker import train as module

    out = tmp_path / "out"

    class StoppedError(RuntimeError):
        pass

    real = module.RankerTrainer.compute_loss
    asked = []

    def stop(self, *given, **more):
        asked.append(1)
        if len(asked) > 25:
            raise StoppedError
        return real(self, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(module.RankerTrainer, "compute_loss", stop)
        with pytest.raises(StoppedError):
            train(base, described, data, out)
    assert (out / "checkpoints" / "checkpoint-20").is_dir()
    train(base, described, data, out)
    one, other = (losses_of(each) for each in (out, trained))
    assert one == pytest.approx(other, rel=0.02)
    with pytest.raises(BioelxError, match="another rate"):
        train(base, described, data, out, rate=1e-4)


def test_the_ranker_serves_without_torch(trained: Path, described: Path) -> None:
    from bioelx.linker import Linker
    from bioelx.types import LinkOptions, Query, Rerank

    linker = Linker.open(described, threads=1, ranker=str(trained / "ranker"))
    query = Query("A tumour of the lung, an organ of the chest", 2, 8, "en")
    [link] = linker.link([query], LinkOptions(rerank=Rerank.ALWAYS)).links
    assert all(each.ranker_log_odds is not None for each in link.candidates)


def test_a_base_that_is_too_short_is_refused(
    base: Path, described: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(BioelxError, match="reads 512 pieces"):
        train(base, described, data, tmp_path / "out", window_tokens=500, names=50)


def test_damaged_lists_are_named(
    base: Path, described: Path, data: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / LISTS_FILE).write_bytes((trained / LISTS_FILE).read_bytes()[:-100])
    with pytest.raises(FileError, match=LISTS_FILE):
        train(base, described, data, out)


def test_the_loss_weighs_a_list_against_none_of_them() -> None:
    import torch

    from bioelx_index.train.ranker.model import list_loss

    scores = torch.tensor([[2.0, -1.0, 9.0], [0.5, 1.0, 0.0]])
    there = torch.tensor([[True, True, False], [True, True, True]])
    right = torch.tensor([[True, False, False], [False, False, False]])
    loss = list_loss(scores, right, there)
    e = np.exp
    first = -np.log(e(2) / (e(2) + e(-1) + 1))
    second = -np.log(1 / (e(0.5) + e(1) + e(0) + 1))
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-5)


def test_fewer_candidates_keep_the_right_one_and_their_order(trained: Path) -> None:
    from bioelx_index.train.ranker.lists import read_lists
    from bioelx_index.train.ranker.train import fewer

    choice = read_lists(trained / LISTS_FILE)[0]
    last = [at == len(choice.right) - 1 for at in range(len(choice.right))]
    kept = fewer(replace(choice, right=last), 3)
    assert kept.candidates == [*choice.candidates[:2], choice.candidates[-1]]
    assert kept.right == [False, False, True]


def test_the_settings_are_explained_and_checked(tmp_path: Path) -> None:
    from bioelx.cli.train import app

    told = CliRunner().invoke(app, ["ranker", "--explain"]).output
    for name in RankerSettings.model_fields:
        assert f"{name} = " in told
    wrong = CliRunner().invoke(app, ["ranker", "--set", "speed=3", "--out", str(tmp_path)])
    assert "speed" in str(wrong.exception)


def test_passages_are_read_from_a_snapshot(tmp_path: Path) -> None:
    from bioelx_index.train.ranker.passages import of_snapshot, read_passages

    (tmp_path / "wikidata").mkdir()
    subject = "<http://www.wikidata.org/entity/Q1> <http://schema.org/description>"
    (tmp_path / "wikidata" / "slice.nt").write_text(
        f'{subject} "en\\u00e9rgico \\"uno\\""@es .\n{subject} "english"@en .\n', encoding="utf-8"
    )
    folder = tmp_path / "ontologies" / "hpo" / "translations"
    folder.mkdir(parents=True)
    header = "subject_id\tpredicate_id\ttranslation_language\ttranslation_value\n"
    rows = "HP:0000002\tIAO:0000115\tfr\tune taille\nHP:0000002\trdfs:label\tfr\ttaille\n"
    (folder / "hp-fr.babelon.tsv").write_text(header + rows, encoding="utf-8")
    assert [tuple(each) for each in of_snapshot(tmp_path)] == [
        ("wikidata:Q1", "es", 'enérgico "uno"'),
        ("hp:0000002", "fr", "une taille"),
    ]
    with pytest.raises(FileError, match="no file with descriptions"):
        list(of_snapshot(tmp_path / "wikidata"))
    with pytest.raises(FileError, match="curie, lang, text"):
        read_passages(tmp_path / "none.parquet")


def test_a_window_that_only_the_definition_tells_is_judged_by_both_log_odds() -> None:
    from bioelx.types import Candidate, Concept, Name
    from bioelx_index.train.ranker.judge import best
    from bioelx_index.train.ranker.lists import Choice

    found = Candidate(Concept("", "a"), Name("a", "", "", ""), False, 0.5, 1, "a", "")
    choice = Choice("", Window("", "a", ""), [found] * 3, [1.0, 0.0, -1.0], [False, False, True])
    assert best(choice, [0.0, 0.0, 0.0]) == 0
    assert best(choice, [0.0, 0.0, 2.5]) == 2
