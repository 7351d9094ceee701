"""Halfway between a model and what it was trained to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("safetensors", reason="needs the train extra")

from safetensors import numpy as numpy_files

from bioelx.errors import BioelxError, FileError
from bioelx_index.train.average import average
from bioelx_index.train.export import read_parent

TABLE = "embeddings.word_embeddings.weight"
LAYER = "encoder.layer.1.intermediate.dense.weight"


@pytest.fixture
def two(make_model: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A base, and the same with one of its layers trained."""
    base = make_model()
    trained = base.rename(tmp_path / "trained")
    (tmp_path / "base").symlink_to(make_model())
    tensors = dict(read_parent(trained).tensors)
    tensors[LAYER] = tensors[LAYER] + 1
    numpy_files.save_file(tensors, trained / "model.safetensors")
    return tmp_path / "base", trained


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_what_was_trained_is_averaged_and_the_rest_is_equal(
    two: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    average(*two, share, tmp_path / "out")
    base, out = read_parent(two[0]).tensors, read_parent(tmp_path / "out").tensors
    np.testing.assert_allclose(out[LAYER], base[LAYER] + share, atol=1e-6)
    np.testing.assert_array_equal(out[TABLE], base[TABLE])
    assert (tmp_path / "out" / "tokenizer.json").exists()


def test_models_of_other_shapes_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    tensors = dict(read_parent(two[1]).tensors)
    tensors[TABLE] = tensors[TABLE][:-1]
    numpy_files.save_file(tensors, two[1] / "model.safetensors")
    with pytest.raises(FileError, match=TABLE):
        average(*two, 0.5, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BioelxError, match="is there already"):
        average(*two, 0.5, tmp_path / "out")
