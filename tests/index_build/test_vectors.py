"""Encoding through the cache: each text is encoded once, and a kill costs a portion at most."""

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
from bioelx.settings import SHIPPED_ENCODER, shipped
from bioelx_index.vector_store import store_size
from bioelx_index.vectors import encode_names

NAMES = [f"{organ} {finding}" for organ in ("heart", "Niere", "肝臓") for finding in "abcdefgh"]


class Counting:
    """The shipped encoder, counting what it is asked."""

    def __init__(self) -> None:
        self._encoder = open_encoder(shipped(SHIPPED_ENCODER), threads=1)
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


def stored_rows(cache: Path, encoder: Encoder) -> int:
    return store_size(cache / encoder.card.fingerprint).vectors


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


def test_a_half_written_end_is_passed_over(tmp_path: Path, encoder: Counting) -> None:
    whole, _ = encode_names(NAMES[:10], encoder, tmp_path)
    encode_names(NAMES, encoder, tmp_path)
    for segment in tmp_path.glob("*/*.vectors"):
        if segment.stat().st_size > 10 * 2 * encoder.card.dimension + 1000:
            segment.write_bytes(segment.read_bytes()[:-5])
    again, encoded = encode_names(NAMES, encoder, tmp_path)
    assert encoded == len(NAMES) - 10
    np.testing.assert_array_equal(again[:10], whole)
    assert encode_names(NAMES, encoder, tmp_path)[1] == 0


ENCODING = """
import sys
from pathlib import Path
import numpy as np
import bioelx_index.vectors as vectors
from bioelx.encoding import open_encoder
from bioelx.settings import SHIPPED_ENCODER, shipped
vectors._PORTION = 16
encoder = open_encoder(shipped(SHIPPED_ENCODER), threads=1)
names = [f"name number {i}" for i in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.readline()
made, encoded = vectors.encode_names(names, encoder, Path(sys.argv[1]))
np.save(sys.argv[3], made)
print(encoded)
"""
"""Encodes names into a cache, once a line comes in."""


def start_encoding(cache: Path, names: int, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ENCODING, str(cache), str(names), str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, **pipes, text=True, env=environment)


def begin(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()


def test_a_killed_run_is_taken_up_again_and_gives_the_same(
    tmp_path: Path, encoder: Counting
) -> None:
    killed, count = tmp_path / "killed", 400
    for kill in range(1, 4):
        process = start_encoding(killed, count, tmp_path / "unused")
        begin(process)
        deadline = time.monotonic() + 60
        while not killed.exists() or stored_rows(killed, encoder) < kill * 64:
            assert process.poll() is None, "finished before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = stored_rows(killed, encoder)
    last = start_encoding(killed, count, tmp_path / "last.npy")
    calm = start_encoding(tmp_path / "calm", count, tmp_path / "calm.npy")
    begin(last, calm)
    assert int(last.communicate()[0]) == count - done
    assert int(calm.communicate()[0]) == count
    np.testing.assert_array_equal(np.load(tmp_path / "last.npy"), np.load(tmp_path / "calm.npy"))


def test_two_builds_at_once_share_the_work(tmp_path: Path) -> None:
    count, files = 600, [tmp_path / "one.npy", tmp_path / "two.npy"]
    both = [start_encoding(tmp_path, count, file) for file in files]
    begin(*both)
    encoded = [int(process.communicate()[0]) for process in both]
    assert min(encoded) > 0
    assert count <= sum(encoded) < 1.5 * count  # but for what both were at in the same moment
    one, two = map(np.load, files)
    np.testing.assert_allclose(one, two, atol=1e-3)
