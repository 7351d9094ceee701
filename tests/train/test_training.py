"""An encoder trained for real on a small model: it learns, goes on after a kill, and serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bioelx.encoding import open_encoder
from bioelx.errors import BioelxError
from bioelx_index.toml_file import explain
from bioelx_index.train.settings import TrainSettings, read_settings

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("pytorch_metric_learning", reason="needs the train extra")

SMALL = {
    "steps": 30, "batch": 32, "rate": 3e-3, "warm_up_steps": 2, "checkpoint_steps": 5,
    "judge_steps": 15, "held_out": 3, "memory": 0, "embeddings": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(
    make_torch_model: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return make_torch_model(tmp_path_factory.mktemp("base"), 32)


@pytest.fixture(scope="module")
def trained(base: Path, tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing disturbed."""
    return _train(base, tiny_release, tmp_path_factory.mktemp("undisturbed"))


def _train(base: Path, release: Path, out: Path, **settings: object) -> Path:
    from rich.console import Console

    from bioelx_index.progress import Stages
    from bioelx_index.train.encoder import train_encoder

    chosen = TrainSettings(base=str(base), **SMALL | settings)
    train_encoder(release, chosen, out, Stages(Console(quiet=True)))
    return out


def _losses(out: Path) -> list[float]:
    return [
        line["loss"] for line in json.loads((out / "training.json").read_bytes()) if "loss" in line
    ]


def test_it_learns_and_shows_it(trained: Path) -> None:
    losses = _losses(trained)
    assert losses[-1] < losses[0]
    assert (trained / "training.png").stat().st_size > 1000
    log = json.loads((trained / "training.json").read_bytes())
    assert any("eval_held_out_recall_at_1" in line for line in log)
    taken = [line["seconds"] for line in log]
    assert taken[0] > 0
    assert taken == sorted(taken)


def test_what_it_exports_equals_what_it_trained(trained: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["influenza", "심근경색", "herzinfarkt und mehr"]
    parent = SentenceTransformer(str(trained / "model"), device="cpu").encode(
        texts, normalize_embeddings=True
    )
    encoder = open_encoder(trained / "encoder", threads=1)
    assert encoder.card.name == "bioelx-encoder"
    assert encoder.card.prefix == ""
    np.testing.assert_array_less(0.97, (parent * encoder.encode(texts)).sum(1))


def test_a_model_for_torch_is_exported_whole(
    base: Path, tiny_release: Path, tmp_path: Path
) -> None:
    out = _train(base, tiny_release, tmp_path / "out", steps=2, export="torch", held_out=0)
    assert open_encoder(out / "encoder").card.format == "torch"


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "softmax"},
        {"memory": 64, "hard_negatives": 4},
        {"languages": ["en"], "cross_lingual": False},
        {"embeddings": False, "perturbed": 0.5},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_each_ingredient_is_a_switch(
    base: Path, tiny_release: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    out = _train(base, tiny_release, tmp_path / "out", **settings | {"steps": 10, "held_out": 0})
    assert np.isfinite(_losses(out)).all()


def test_names_are_drawn_to_a_teachers_labels(
    base: Path, tiny_release: Path, trained: Path, tmp_path: Path
) -> None:
    teacher = trained / "encoder"
    out = _train(base, tiny_release, tmp_path / "out", teacher=teacher, hard_negatives=4)
    assert _losses(out)[-1] < _losses(out)[0]
    with pytest.raises(BioelxError, match="384 wide, the base 32"):
        _train(base, tiny_release, tmp_path / "wide", teacher=tiny_release / "encoder")


def test_a_killed_training_ends_as_the_undisturbed_one(
    base: Path, tiny_release: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = [f"base={base}", *(f"{key}={json.dumps(value)}" for key, value in SMALL.items())]
    command = [sys.executable, "-m", "bioelx", "train", "encoder", "--out", str(out)]
    command += ["--release", str(tiny_release)]
    command += [word for each in given for word in ("--set", each)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob("checkpoints/checkpoint-1?/trainer_state.json")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "encoder").exists()
    subprocess.run(command, check=True, capture_output=True, timeout=200)

    ends = [
        [line["step"] for line in json.loads((each / "training.json").read_bytes())][-1]
        for each in (out, trained)
    ]
    assert ends[0] == ends[1] == SMALL["steps"]
    assert _losses(out)[-1] == pytest.approx(_losses(trained)[-1], rel=0.01)
    taken = [line["seconds"] for line in json.loads((out / "training.json").read_bytes())]
    assert taken == sorted(taken), "the clock goes on from the checkpoint, not from nought"


def test_another_trainings_folder_is_refused(trained: Path, base: Path, tiny_release: Path) -> None:
    with pytest.raises(BioelxError, match="another rate, seed"):
        _train(base, tiny_release, trained, rate=1.0, seed=3)


def test_a_base_that_is_none_is_named(tiny_release: Path, tmp_path: Path) -> None:
    with pytest.raises(BioelxError, match="no-such-model"):
        _train(tmp_path / "no-such-model", tiny_release, tmp_path / "out")


def test_settings_explain_themselves_and_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "training.toml"
    file.write_text(explain(TrainSettings), encoding="utf-8")
    assert read_settings(file, ()) == TrainSettings()
    assert read_settings(file, ["rate=1e-5", "languages=['en']"]).languages == ("en",)
    for wrong, said in (("speed=3", "speed"), ("batch=3", "batch"), ("rate", "KEY=VALUE")):
        with pytest.raises(BioelxError, match=said):
            read_settings(file, [wrong])


def test_the_command_teaches() -> None:
    from bioelx.cli.train import app

    result = CliRunner().invoke(app, ["encoder", "--explain"])
    assert result.exit_code == 0
    assert "titles_share" in result.stdout
