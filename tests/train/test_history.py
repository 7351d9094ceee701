"""The learning curve of a training, from its log."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from PIL import Image

from bioelx.errors import FileError
from bioelx_index.train.history import main, read_curve

LOG = [
    {"step": 10, "loss": 2.0, "seconds": 36.0},
    {"step": 20, "eval_held_out_recall_at_1": 0.25, "seconds": 72.0},
    {"step": 40, "eval_held_out_recall_at_1": 0.5, "seconds": 180.0},
    {"step": 40, "train_runtime": 170.0, "seconds": 180.0},
]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    (tmp_path / "settings.json").write_bytes(orjson.dumps({"batch": 256}))
    return tmp_path


def _log(training: Path, log: list[dict[str, float]]) -> None:
    (training / "training.json").write_bytes(orjson.dumps(log))


def test_the_curve_is_over_names_and_hours(
    training: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _log(training, LOG)
    assert read_curve(training) == [(5120, 0.02, 0.25), (10240, 0.05, 0.5)]
    main(training)
    assert "| 10,240 | 0.05 | 50.0 |" in capsys.readouterr().out
    with_hours = _width(training)
    _log(training, [{key: line[key] for key in line if key != "seconds"} for line in LOG])
    main(training)
    assert "| 10,240 |  | 50.0 |" in capsys.readouterr().out
    assert _width(training) < with_hours, "without times there is one curve"
    assert read_curve(training, hours=2)[0] == (5120, 1.0, 0.25)


def test_a_training_at_work_is_read_from_its_last_checkpoint(training: Path) -> None:
    for step in (40, 200, 1000):
        checkpoint = training / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        line = {"step": step, "eval_held_out_recall_at_1": step / 1000}
        state = orjson.dumps({"log_history": [line]})
        (checkpoint / "trainer_state.json").write_bytes(state)
    assert read_curve(training) == [(256_000, None, 1.0)]
    _log(training, LOG)
    assert len(read_curve(training)) == 2, "the whole log, once there is one"


def test_what_is_no_training_is_named(training: Path) -> None:
    with pytest.raises(FileError, match="no log and no checkpoint"):
        read_curve(training)
    _log(training, LOG[:1])
    with pytest.raises(FileError, match="not looked at held-out names"):
        read_curve(training)
    (training / "training.json").write_bytes(b"[")
    with pytest.raises(FileError, match=r"training\.json"):
        read_curve(training)
    (training / "settings.json").unlink()
    with pytest.raises(SystemExit, match=r"settings\.json"):
        main(training)


def _width(training: Path) -> int:
    return Image.open(training / "learning.png").width
