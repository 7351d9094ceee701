"""The encoder on torch, where torch is installed: `make test` installs none."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson
import pytest

from bioelx.encoding import open_encoder
from bioelx.release.manifest import stamp_files

pytest.importorskip("torch", reason="needs the torch extra")

MakeTorchModel = Callable[[Path, int], Path]

NAMES = ["asthma", "심근경색", "a name that is much longer than the other names beside it", "x"]


@pytest.fixture(scope="module")
def folder(make_torch_model: MakeTorchModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model with the card of an encoder beside it."""
    folder = make_torch_model(tmp_path_factory.mktemp("torch"), 32)
    card = {
        "schema": 1,
        "name": "tiny",
        "format": "torch",
        "dimension": 32,
        "max_tokens": 16,
        "prefix": "query: ",
        "base": "random",
        "files": {name: asdict(stamp) for name, stamp in stamp_files(folder).items()},
    }
    (folder / "encoder.json").write_bytes(orjson.dumps(card))
    return folder


def test_it_keeps_what_every_encoder_promises(folder: Path) -> None:
    encoder = open_encoder(folder, threads=1)
    together = encoder.encode(NAMES)
    assert (together.shape, together.dtype) == ((4, 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for name, vector in zip(NAMES, together, strict=True):
        np.testing.assert_allclose(encoder.encode([name])[0], vector, atol=1e-5)
    long = "heart " * 500
    np.testing.assert_allclose(encoder.encode([long]), encoder.encode([long + "x"]), atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_want_of_memory_is_told_as_such(
    folder: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    said = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes."
    error = RuntimeError(said) if device == "cpu" else torch.OutOfMemoryError("CUDA out of memory.")
    encoder = open_encoder(folder, threads=1)

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(encoder._model, "forward", refuse)
    with pytest.raises(MemoryError):
        encoder.encode(NAMES)
