"""The vector cache: each text is encoded once, and a kill costs a chunk at most."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bioelx.encoding import Encoder, EncoderCard, open_encoder
from bioelx.settings import shipped
from bioelx_index.vectors import encode_names

NAMES = [f"{organ} {finding}" for organ in ("heart", "Niere", "肝臓") for finding in "abcdefgh"]


class Counting:
    """The shipped encoder, counting what it is asked."""

    def __init__(self) -> None:
        self._encoder = open_encoder(shipped("models/multilingual-e5-small-int8"), threads=1)
        self.card: EncoderCard = self._encoder.card
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += texts
        return self._encoder.encode(texts)


@pytest.fixture(scope="module")
def shared() -> Counting:
    return Counting()


@pytest.fixture
def encoder(shared: Counting) -> Counting:
    shared.asked.clear()
    return shared


def vectors_file(cache: Path, encoder: Encoder) -> Path:
    return cache / encoder.card.fingerprint / "vectors.bin"


def test_only_new_texts_are_encoded(tmp_path: Path, encoder: Counting) -> None:
    first, encoded = encode_names(NAMES[:10], encoder, tmp_path)
    assert encoded == 10
    done: list[int] = []
    both, encoded = encode_names(NAMES[5:], encoder, tmp_path, done.append)
    assert encoded == len(NAMES) - 10
    assert sum(done) == len(NAMES) - 5
    assert sorted(encoder.asked) == sorted(NAMES)
    np.testing.assert_array_equal(both[:5], first[5:])
    np.testing.assert_allclose(both, encoder.encode(NAMES[5:]), atol=1e-3)
    _, encoded = encode_names(NAMES, encoder, tmp_path)
    assert encoded == 0


def test_nothing_to_encode(tmp_path: Path, encoder: Counting) -> None:
    vectors, encoded = encode_names([], encoder, tmp_path)
    assert vectors.shape == (0, encoder.card.dimension)
    assert encoded == 0


@pytest.mark.parametrize("file", ["texts.bin", "vectors.bin"])
def test_a_half_written_end_is_cut_off(tmp_path: Path, encoder: Counting, file: str) -> None:
    whole, _ = encode_names(NAMES, encoder, tmp_path)
    path = tmp_path / encoder.card.fingerprint / file
    path.write_bytes(path.read_bytes()[:-5])
    again, encoded = encode_names(NAMES, encoder, tmp_path)
    assert encoded == 1
    np.testing.assert_allclose(again, whole, atol=1e-3)


KILLED = """
import sys
from pathlib import Path
import bioelx_index.vectors as vectors
from bioelx.encoding import open_encoder
from bioelx.settings import shipped
vectors._CHUNK = 4
encoder = open_encoder(shipped("models/multilingual-e5-small-int8"), threads=1)
names = [f"name number {i}" for i in range(4000)]
_, encoded = vectors.encode_names(names, encoder, Path(sys.argv[1]))
print(encoded)
"""


def test_a_killed_run_is_taken_up_again(tmp_path: Path, encoder: Counting) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    stored = vectors_file(tmp_path, encoder)
    row_bytes = 2 * encoder.card.dimension
    before = 0
    for _ in range(3):
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 60
        while not stored.exists() or stored.stat().st_size < (before + 40) * row_bytes:
            assert process.poll() is None, "finished before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = stored.stat().st_size // row_bytes
    names = [f"name number {i}" for i in range(before + 100)]
    vectors, encoded = encode_names(names, encoder, tmp_path)
    assert encoded <= 100 + 4  # what was new, and the chunk whose hashes the kill cut off
    np.testing.assert_allclose(vectors, encoder.encode(names), atol=2e-3)
