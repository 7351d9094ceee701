"""The paper's setting, as docs/training.md gives it, at tiny size: UMLS and a pull of Wikidata ->
release -> an XLM-R model trained on its names -> release with that encoder -> link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.release import active_release, read_manifest
from bioelx_index.endpoint import local_endpoint

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("pytorch_metric_learning", reason="needs the train extra")
sentencepiece = pytest.importorskip("sentencepiece", reason="needs the train extra")

MRCONSO = """\
C0004096|ENG|P|L0000001|PF|S0000001|Y|A0000001||M0001|D001249|MSH|MH|D001249|Asthma|0|N|256|
C0004096|ENG|S|L0000002|PF|S0000002|Y|A0000002||M0001|D001249|MSH|ET|D001249|Bronchial asthma|0|N||
C0004096|FIN|P|L0000003|PF|S0000003|Y|A0000003||M0001|D001249|MSHFIN|MH|D001249|Keuhkoastma|3|N||
C0004096|KOR|P|L0000004|PF|S0000004|Y|A0000004|||10003553|MDRKOR|PT|10003553|기관지 천식|3|N||
C0013604|ENG|P|L0000007|PF|S0000007|Y|A0000007||M0003|D004487|MSH|MH|D004487|Edema|0|N|256|
C0013604|GER|P|L0000008|PF|S0000008|Y|A0000008||M0003|D004487|MSHGER|MH|D004487|Ödem|3|N||
C0013604|RUS|P|L0000009|PF|S0000009|Y|A0000009||M0003|D004487|MSHRUS|MH|D004487|отек|3|N||
C0027051|ENG|P|L0000005|PF|S0000005|Y|A0000005||M0002|D009203|MSH|MH|D009203|Myocardial Infarction|0|N|256|
C0027051|SPA|P|L0000006|PF|S0000006|Y|A0000006||M0002|D009203|MSHSPA|MH|D009203|Infarto del Miocardio|3|N||
"""  # noqa: E501
MRSTY = """\
C0004096|T047|B2.2.1.2.1|Disease or Syndrome|AT1|256|
C0013604|T046|B2.2.1.2|Pathologic Function|AT2|256|
C0027051|T047|B2.2.1.2.1|Disease or Syndrome|AT3|256|
"""
SPECIAL = 3  # pieces that XLM-R's vocabulary has beside those of its sentencepiece file


@pytest.fixture
def umls(tmp_path: Path) -> Path:
    folder = tmp_path / "2026AA" / "META"
    folder.mkdir(parents=True)
    (folder / "MRCONSO.RRF").write_text(MRCONSO, encoding="utf-8")
    (folder / "MRSTY.RRF").write_text(MRSTY, encoding="utf-8")
    return folder


@pytest.fixture
def xlm_r(tmp_path: Path) -> Path:
    """A base in the files of SapBERT's multilingual one on its hub: an XLM-R's weights,
    config.json and sentencepiece.bpe.model, and nothing of sentence-transformers."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    folder = tmp_path / "SapBERT-tiny-from-XLMR"
    texts = tmp_path / "texts.txt"
    names = [line.split("|")[14] for line in MRCONSO.splitlines()]
    texts.write_text("\n".join([*names, "abcdefghijklmnopqrstuvwxyz 천식 сахар 糖尿病 頭痛"]))
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts),
        model_prefix=str(folder / "sentencepiece.bpe"),
        model_type="unigram",
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(
        model_file=str(folder / "sentencepiece.bpe.model")
    ).get_piece_size()
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = XLMRobertaConfig(
        vocab_size=pieces + SPECIAL,
        intermediate_size=64,
        max_position_embeddings=66,
        type_vocab_size=1,
        **shape,
    )
    XLMRobertaModel(config).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    return folder


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIOELX_GATE_MARGIN", "1")  # a handful of names knows little of the set
    return home


@pytest.fixture
def endpoint(small_snapshot: Path) -> Iterator[str]:
    with local_endpoint(small_snapshot / "slice.nt") as url:
        yield url


def bioelx(*arguments: object) -> Result:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_the_papers_setting(
    home: Path, endpoint: str, umls: Path, xlm_r: Path, small_snapshot: Path, tmp_path: Path
) -> None:
    bioelx("pull", "wikidata", "--endpoint", endpoint, "--user-agent", "Name/1.0 (mail@host.org)")
    sources = ("--data", small_snapshot, "--umls", umls)
    sources += ("--wikidata", home / "pulls" / "wikidata-sparql")
    bioelx("build", *sources)

    settings = [f"base={xlm_r}", "export=torch", "steps=20", "rate=3e-3", "embeddings=true"]
    settings += ["name=tiny SapBERT", "batch=16", "warm_up_steps=2", "memory=8", "held_out=0"]
    given = [word for setting in settings for word in ("--set", setting)]
    bioelx("train", "encoder", *given, "--out", tmp_path / "paper")
    bioelx("build", *sources, "--encoder", tmp_path / "paper" / "encoder")

    manifest = read_manifest(home / "releases" / str(active_release(home / "releases")))
    assert (manifest.encoder.name, manifest.encoder.dimension) == ("tiny SapBERT", 32)
    assert [source.name for source in manifest.sources] == ["wikidata", "hpo", "umls"]
    notes = tmp_path / "notes.txt"
    notes.write_text("Potilaalla [[Keuhkoastma]], ei [[sydäninfarkti]].\n[[отек]]\n")
    linked = bioelx("link", notes, "--format", "text", "--output", "json").stdout
    documents = [orjson.loads(line) for line in linked.splitlines()]
    found = [
        {candidate["concept_id"], *candidate["xrefs"]}
        for document in documents
        for candidate in (link["candidates"][0] for link in document["links"])
    ]
    # Both sources speak of one concept; what only the UMLS has is there too.
    assert {"wikidata:Q35869", "umls:C0004096", "mesh:D001249"} <= found[0]
    assert {"wikidata:Q12152", "umls:C0027051", "mesh:D009203"} <= found[1]
    assert "umls:C0013604" in found[2]
