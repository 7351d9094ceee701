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
from bioelx.encoding.encoder import read_held_out
from bioelx.errors import BioelxError
from bioelx.toml_file import explain
from bioelx_index.endpoint import free_port
from bioelx_index.train.settings import TrainSettings, read_settings

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("pytorch_metric_learning", reason="needs the train extra")

SMALL = {
    "steps": 30, "batch": 32, "rate": 3e-3, "warm_up_steps": 2, "checkpoint_steps": 5,
    "judge_steps": 15, "held_out": 3, "memory": 512, "embeddings": True,
}  # fmt: skip


RECALL = "eval_held_out_recall_at_1"


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


def test_it_learns(base: Path, tiny_release: Path, tmp_path: Path) -> None:
    # A memory that fills adds to the loss what it finds.
    losses = _losses(_train(base, tiny_release, tmp_path / "out", memory=0, held_out=0))
    assert losses[-1] < losses[0]


def test_it_shows_what_it_learns(trained: Path) -> None:
    assert (trained / "training.png").stat().st_size > 1000
    log = json.loads((trained / "training.json").read_bytes())
    assert any(RECALL in line for line in log)
    assert read_held_out(trained / "encoder")
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
        {"memory": 0},
        {"refresh_steps": 4, "hard_negatives": 4},
        {"languages": ["en"], "cross_lingual": False, "near_duplicates": True},
        {"embeddings": False, "perturbed": 0.5, "transliterated": False},
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


def test_a_refreshed_memory_holds_the_labels_as_the_model_sees_them(
    base: Path, tiny_release: Path
) -> None:
    import torch
    from transformers import TrainerState

    from bioelx_index.train.encoder import open_base
    from bioelx_index.train.loss import AlignmentLoss
    from bioelx_index.train.memory import RefreshMemory
    from bioelx_index.train.names import read_names

    names = read_names(tiny_release, 45)
    settings = TrainSettings(base=str(base), memory=500, refresh_steps=10, loss="softmax")
    model = open_base(settings)
    loss = AlignmentLoss(model, settings, 32)
    loss.memory.remember(torch.ones(3, 32), torch.tensor([7, 8, 9]))
    refresh = RefreshMemory(loss.memory, names, settings)
    refresh.on_step_end(None, TrainerState(global_step=5), None, model=model)
    assert int(loss.memory.seen) == 3, "it is not its time"
    refresh.on_step_end(None, TrainerState(global_step=20), None, model=model)

    labels = names.take(names.label_rows())
    vectors = model.encode(labels.texts.tolist(), normalize_embeddings=True, convert_to_tensor=True)
    own = torch.tensor([int(labels.concepts[5])])
    known, of = loss.memory.near(vectors[5:6], own, count=2)
    cosines = vectors @ vectors[5]
    cosines[5] = -1
    hardest = labels.concepts[cosines.topk(2).indices.numpy()]
    assert sorted(of.tolist()) == sorted([int(own), *hardest.tolist()])
    torch.testing.assert_close(known[of == own], vectors[5:6], atol=1e-5, rtol=0)


@pytest.mark.parametrize("killed_after", [5, 20])
def test_a_killed_training_ends_as_the_undisturbed_one(
    base: Path, tiny_release: Path, trained: Path, tmp_path: Path, killed_after: int
) -> None:
    """It draws the same, remembers the same, and so comes to the same vectors."""
    import torch
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    out = tmp_path / "out"
    given = [f"base={base}", *(f"{key}={json.dumps(value)}" for key, value in SMALL.items())]
    command = [sys.executable, "-m", "bioelx", "train", "encoder", "--out", str(out)]
    command += ["--release", str(tiny_release)]
    command += [word for each in given for word in ("--set", each)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / f"checkpoints/checkpoint-{killed_after}/memory.safetensors").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)  # at whatever step it is by now
    process.wait()
    assert not (out / "encoder").exists()
    subprocess.run(command, check=True, capture_output=True, timeout=200)

    logs = [json.loads((each / "training.json").read_bytes()) for each in (out, trained)]
    assert [log[-1]["step"] for log in logs] == [SMALL["steps"]] * 2
    memories = [
        load_file(each / "checkpoints" / "checkpoint-30" / "memory.safetensors")
        for each in (out, trained)
    ]
    assert [int(memory["seen"]) for memory in memories] == [SMALL["steps"] * SMALL["batch"]] * 2
    assert torch.equal(memories[0]["concepts"], memories[1]["concepts"])
    found = [[line[RECALL] for line in log if RECALL in line] for log in logs]
    assert found[0] == pytest.approx(found[1], abs=0.02)
    taken = [line["seconds"] for line in logs[0]]
    assert taken == sorted(taken), "the clock goes on from the checkpoint, not from nought"
    assert _losses(out)[-1] == pytest.approx(_losses(trained)[-1], rel=0.01)
    texts = ["influenza", "심근경색", "herzinfarkt und mehr"]
    vectors = [
        SentenceTransformer(str(each / "model"), device="cpu").encode(
            texts, normalize_embeddings=True
        )
        for each in (out, trained)
    ]
    np.testing.assert_array_less(0.999, (vectors[0] * vectors[1]).sum(1))


def test_two_processes_train_together(base: Path, tiny_release: Path, tmp_path: Path) -> None:
    """As on several GPUs, by torchrun; each takes other names of a step, and one encoder comes."""
    out = tmp_path / "out"
    small = SMALL | {"base": str(base), "steps": 10, "held_out": 0}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(free_port()), "-m", "bioelx", "train", "encoder"]
    command += ["--release", str(tiny_release), "--out", str(out)]
    for key, value in small.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert open_encoder(out / "encoder").card.dimension == 32
    [log] = [line for line in json.loads((out / "training.json").read_bytes()) if "loss" in line]
    assert log["step"] == 10
    assert log["epoch"] <= 1, "it has not gone through the same draws twice"


def test_settings_that_came_later_count_as_their_defaults(
    base: Path, tiny_release: Path, tmp_path: Path
) -> None:
    """A training that an earlier version began goes on with this one."""
    out = _train(base, tiny_release, tmp_path / "out", steps=2, held_out=0)
    earlier = json.loads((out / "settings.json").read_bytes())
    del earlier["refresh_steps"]
    (out / "settings.json").write_text(json.dumps(earlier))
    _train(base, tiny_release, out, steps=2, held_out=0)
    with pytest.raises(BioelxError, match="another refresh_steps:"):
        _train(base, tiny_release, out, steps=2, held_out=0, refresh_steps=3)


def test_another_trainings_folder_is_refused(trained: Path, base: Path, tiny_release: Path) -> None:
    with pytest.raises(BioelxError, match="another rate, seed"):
        _train(base, tiny_release, trained, rate=1.0, seed=3)


def test_a_base_that_is_none_is_named(tiny_release: Path, tmp_path: Path) -> None:
    with pytest.raises(BioelxError, match="no-such-model"):
        _train(tmp_path / "no-such-model", tiny_release, tmp_path / "out")


def test_settings_explain_themselves_and_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "training.toml"
    file.write_text(explain(TrainSettings), encoding="utf-8")
    assert read_settings(file, (), TrainSettings) == TrainSettings()
    assert read_settings(file, ["rate=1e-5", "languages=['en']"], TrainSettings).languages == (
        "en",
    )
    for wrong, said in (("speed=3", "speed"), ("batch=3", "batch"), ("rate", "KEY=VALUE")):
        with pytest.raises(BioelxError, match=said):
            read_settings(file, [wrong], TrainSettings)


def test_the_command_teaches() -> None:
    from bioelx.cli.train import app

    result = CliRunner().invoke(app, ["encoder", "--explain"])
    assert result.exit_code == 0
    assert "titles_share" in result.stdout
