"""A tiny real release, and a real server of it, for all tests."""

from __future__ import annotations

import csv
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from bioelx.client import Client
from bioelx.confidence import ConfidenceModel, Features
from bioelx.encoding import open_encoder
from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import (
    CONCEPTS_FILE,
    CONCEPTS_SCHEMA,
    NAMES_FILE,
    NAMES_SCHEMA,
    prepare,
    write_table,
)
from bioelx.linker import Linker
from bioelx.release import EncoderStamp, IndexStamp, Manifest, SourceStamp, activate
from bioelx.release.canaries import write_canaries
from bioelx.release.manifest import utc_now
from bioelx.release.store import finish_release
from bioelx.search.index import NameIndex
from bioelx.settings import SHIPPED_ENCODER, shipped
from bioelx_eval.datasets.xlbel import COVERED_HEADER
from bioelx_eval.datasets.xlbel import LANGUAGES as XLBEL_LANGUAGES
from bioelx_index.canaries import choose_canaries

# What the shell that runs the tests says of servers is not meant for those that are started here.
for _name in [name for name in os.environ if name.upper().startswith(("BIOELX_", "OTEL_"))]:
    del os.environ[_name]

# A busy machine is no fault of a test. CI repeats itself, so that others find what it finds.
settings.register_profile(
    "bioelx",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("bioelx")

TINY = Path(__file__).parent / "files" / "tiny"
RETIRED = "wikidata:Q999999999"
"""A retired concept of the tiny release; its successor is influenza."""
RETIRED_EARLIER = "wikidata:Q999999998"
"""Another, retired in favour of that one."""


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and the processes of tests
    would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def build_release(concepts: pa.Table, names: pa.Table, root: Path) -> Path:
    """Builds a release of these tables with the shipped encoder; returns its folder."""
    draft = root / "draft"
    shutil.copytree(shipped(SHIPPED_ENCODER), draft / "encoder")
    concepts, names = prepare(concepts, names)
    write_table(concepts, draft / CONCEPTS_FILE)
    write_table(names, draft / NAMES_FILE)
    encoder = open_encoder(draft / "encoder", threads=1)
    index = NameIndex.build(encoder.encode(names["key"].chunk(0).dictionary.to_pylist()))
    index.save(draft)
    weights = Features(score=16.0, lead=8.0, lag=-8.0, exact=4.0)
    ConfidenceModel(-16.0, weights, default_min_confidence=0.3).save(draft)
    write_canaries(choose_canaries(KnowledgeBase.open(draft), index, encoder), draft)
    card = encoder.card
    manifest = Manifest(
        id="",
        created=utc_now(),
        parent=None,
        sources=(SourceStamp("wikidata", "2026-11", "CC0-1.0", "0" * 64),),
        encoder=EncoderStamp(card.name, card.fingerprint, card.dimension),
        index=IndexStamp(index.factory, index.text_count, 1.0),
        concepts=len(concepts),
        names=len(names),
    )
    return root / finish_release(draft, manifest, root).id


@pytest.fixture
def small_snapshot(tmp_path: Path) -> Path:
    """A copy of tests/files/small, a folder that `bioelx build --data` takes."""
    return Path(shutil.copytree(TINY.parent / "small", tmp_path / "data"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A BIOELX_HOME with what is shipped and no release yet."""
    home = tmp_path / "home"
    home.mkdir()
    for part in ("models", "data"):
        (home / part).symlink_to(shipped(part).resolve())
    monkeypatch.setenv("BIOELX_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def make_release() -> Callable[[pa.Table, pa.Table, Path], Path]:
    """`build_release`, for tests in other folders."""
    return build_release


@pytest.fixture(scope="session")
def tiny_tables() -> tuple[pa.Table, pa.Table]:
    """Concepts and names of tests/files/tiny, as between stages of a build."""
    concepts = [
        {
            "concept_id": row["concept_id"],
            "label": row["label"],
            "description": "",
            "types": [row["types"]],
            "xrefs": row["xrefs"].split(),
            "status": "active",
        }
        for row in _rows("concepts.tsv")
    ]
    for retired, successor in ((RETIRED, "wikidata:Q2840"), (RETIRED_EARLIER, RETIRED)):
        changed = {"concept_id": retired, "status": "retired", "replaced_by": successor}
        concepts.append({**concepts[0], "label": "grippe", "xrefs": [], **changed})
    names = [{**row, "ambiguous": False} for row in _rows("names.tsv")]
    return (
        pa.Table.from_pylist(concepts, CONCEPTS_SCHEMA),
        pa.Table.from_pylist(names, NAMES_SCHEMA),
    )


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (TINY / name).open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream, delimiter="\t")


@pytest.fixture(scope="session")
def tiny_home(
    tiny_tables: tuple[pa.Table, pa.Table], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A BIOELX_HOME whose active release is the tiny one."""
    home = tmp_path_factory.mktemp("home")
    root = home / "releases"
    activate(build_release(*tiny_tables, root).name, root)
    return home


@pytest.fixture(scope="session")
def tiny_release(tiny_home: Path) -> Path:
    """The folder of a release of tests/files/tiny."""
    return next(tiny_home.glob("releases/[0-9]*"))


@pytest.fixture(scope="session")
def tiny_linker(tiny_release: Path) -> Linker:
    return Linker.open(tiny_release, threads=1)


def save_torch_model(root: Path, dimension: int) -> Path:
    """Saves a small random BERT with the shipped pieces as sentence-transformers does."""
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    base, folder = root / "base", root / "model"
    torch.manual_seed(0)
    shape = {"hidden_size": dimension, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertModel(BertConfig(vocab_size=110_000, intermediate_size=64, **shape)).save_pretrained(base)
    PreTrainedTokenizerFast(
        tokenizer_file=str(shipped(SHIPPED_ENCODER) / "tokenizer.json"),
        pad_token="<pad>",
    ).save_pretrained(base)
    pooled = [Transformer(str(base)), Pooling(dimension)]
    SentenceTransformer(modules=pooled, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def make_torch_model() -> Callable[[Path, int], Path]:
    """`save_torch_model`, for tests in other folders; skips where torch is not installed."""
    return save_torch_model


@pytest.fixture(scope="session")
def write_xlbel_in() -> Callable[..., Path]:
    """Writes XL-BEL v1.0 and returns its folder: the given rows, or one that fits, a language."""

    def write(
        root: Path,
        rows: Mapping[str, Sequence[str]],
        covered: Sequence[tuple[str, int, str, str]] = (),
    ) -> Path:
        folder = root / "xlbel" / "v1.0"
        folder.mkdir(parents=True, exist_ok=True)
        for language in XLBEL_LANGUAGES:
            lines = rows.get(language, ["C0004096||asthma||<tgt>asthma</tgt>"])
            path = folder / f"{language}_1k_test_query_with_context.txt"
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if covered:
            table = [COVERED_HEADER, *covered]
            content = "".join("\t".join(map(str, row)) + "\n" for row in table)
            (folder.parent / "covered-v1.0.tsv").write_text(content, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def tokenizer_json() -> str:
    """The real tokenizer of the Qwen3 models."""
    folder = TINY.parent / "qwen3-tokenizer"
    return gzip.decompress((folder / "tokenizer.json.gz").read_bytes()).decode()


@pytest.fixture(scope="session")
def tiny_ranker(tmp_path_factory: pytest.TempPathFactory, tokenizer_json: str) -> Path:
    """A Qwen3 of two small layers and random weights, large enough for scores to differ."""
    pytest.importorskip("sentence_transformers", reason="needs the torch extra")
    from transformers import Qwen3Config

    from bioelx_eval.speed.ranker import save_random_model

    folder = tmp_path_factory.mktemp("qwen")
    shape = Qwen3Config(
        vocab_size=151_936,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    save_random_model(folder, tokenizer_json, shape)
    return folder


@pytest.fixture(scope="session")
def shipped_ranker() -> Path:
    """The trained cross-encoder, which no setting names by itself."""
    return shipped("models/bioelx-ranker-int8")


@pytest.fixture(scope="session")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of two small layers and random weights, with the shipped pieces."""
    pytest.importorskip("onnx", reason="needs the train extra")
    import numpy as np
    from tokenizers import Tokenizer

    from bioelx_index.train.export import Parent
    from bioelx_index.train.ranker.export import export_ranker

    tokenizer = Tokenizer.from_file(str(shipped(SHIPPED_ENCODER) / "tokenizer.json"))
    hidden, inner, random = 64, 128, np.random.default_rng(7)

    def drawn(*shape: int, scale: float = 0.3) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": drawn(tokenizer.get_vocab_size(), hidden),
        "embeddings.position_embeddings.weight": drawn(200, hidden),
        "embeddings.token_type_embeddings.weight": drawn(3, hidden, scale=1),
        "head.likeness": drawn(hidden, scale=20),
        "head.first": drawn(hidden, scale=1),
        "head.bias": drawn(),
    }
    layers = [f"encoder.layer.{number}" for number in range(2)]
    shapes = {"intermediate.dense": (inner, hidden), "output.dense": (hidden, inner)}
    for part in ("self.query", "self.key", "self.value", "output.dense"):
        shapes[f"attention.{part}"] = (hidden, hidden)
    for name, shape in [(f"{at}.{n}", shape) for at in layers for n, shape in shapes.items()]:
        tensors |= {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0])}
    norms = [f"{at}.{part}" for at in layers for part in ("attention.output", "output")]
    for name in ("embeddings", *norms):
        tensors[f"{name}.LayerNorm.weight"] = np.ones(hidden, np.float32)
        tensors[f"{name}.LayerNorm.bias"] = drawn(hidden)
    config = {
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": len(layers),
        "num_attention_heads": 4,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 1,
    }
    folder = tmp_path_factory.mktemp("ranker") / "tiny-ranker-int8"
    budgets = {"window_tokens": 64, "candidate_tokens": 48}
    export_ranker(Parent(config, tensors), tokenizer, folder, name="tiny", base="none", **budgets)
    return folder


@dataclass(frozen=True)
class RunningServer:
    """A `bioelx serve` in a process of its own."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path


StartServer = Callable[..., AbstractContextManager[RunningServer]]


@pytest.fixture(scope="session")
def start_server(tiny_home: Path) -> StartServer:
    """A function that serves the tiny release, or the active one of another `home`, with more
    options of `bioelx serve` if given; `program`: what Python runs in place of `bioelx`.
    """

    @contextmanager
    def start(
        *options: str, home: Path = tiny_home, program: Sequence[str] = ("-m", "bioelx")
    ) -> Iterator[RunningServer]:
        with tempfile.NamedTemporaryFile(suffix=".log") as log:
            options = (*program, "serve", "--port", "0", "--threads", "1", *options)
            process = _serve(home, options, log)
            try:
                announced = process.stdout.readline().decode() if process.stdout else ""
                found = re.fullmatch(r"serving \S+ on (\S+)\n", announced)
                assert found, Path(log.name).read_text(encoding="utf-8")
                yield RunningServer(process, found[1], Path(log.name))
            finally:
                process.kill()
                process.communicate()

    return start


def _serve(home: Path, options: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, *options]
    environment = {**os.environ, "BIOELX_HOME": str(home)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)


@pytest.fixture(scope="session")
def server(start_server: StartServer) -> Iterator[RunningServer]:
    """A server of the tiny release that all tests share."""
    with start_server() as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.address, timeout=30) as opened:
        yield opened
