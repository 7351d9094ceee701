"""What is stored of vectors is found again as it was, or not at all."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from bioelx_index.vector_store import KEY, Keys, VectorStore, keys_of, store_size

DIMENSION = 4


def vectors_of(keys: Keys) -> npt.NDArray[np.float16]:
    """Vectors that tell of which key they are."""
    numbers = [sum(raw) for raw in keys.view("V16").tolist()]
    return (np.array(numbers)[:, None] + np.arange(DIMENSION)).astype(np.float16)


def fill(store: VectorStore, keys: Keys) -> tuple[npt.NDArray[np.float32], list[int]]:
    vectors = np.full((len(keys), DIMENSION), -1, np.float32)
    return vectors, store.fill(keys, vectors, np.arange(len(keys))).tolist()


def stored(folder: Path, *portions: Keys) -> Path:
    """Writes one block a portion; returns their segment."""
    with VectorStore(folder, DIMENSION) as store:
        for keys in portions:
            store.append(keys, vectors_of(keys))
    [segment] = folder.glob("*.vectors")
    return segment


raw_keys = st.lists(
    st.binary(min_size=16, max_size=16) | st.sampled_from([bytes(16), b"a" + bytes(15)]),
    unique=True,
    max_size=30,
)


@given(raw_keys, raw_keys)
def test_what_was_stored_is_found_and_nothing_else(here: list[bytes], asked: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keys = np.frombuffer(b"".join(here), KEY)
        with VectorStore(Path(folder), DIMENSION) as store:
            store.append(keys, vectors_of(keys))
        wanted = np.frombuffer(b"".join(asked), KEY)
        with VectorStore(Path(folder), DIMENSION) as store:
            vectors, missing = fill(store, wanted)
    assert missing == [place for place, key in enumerate(asked) if key not in here]
    found = np.setdiff1d(np.arange(len(asked)), missing)
    np.testing.assert_array_equal(vectors[found], vectors_of(wanted)[found])


PORTIONS = [keys_of([f"{block} {row}" for row in range(3)]) for block in "abc"]
ALL = np.concatenate(PORTIONS)
SEGMENT_BYTES = 3 * (48 + 3 * (16 + 2 * DIMENSION))


@given(st.integers(0, SEGMENT_BYTES - 1), st.integers(0, 7), st.booleans())
def test_no_flipped_bit_and_no_cut_end_gives_a_wrong_vector(at: int, bit: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        segment = stored(Path(folder), *PORTIONS)
        content = bytearray(segment.read_bytes())
        assert len(content) == SEGMENT_BYTES
        content[at] ^= 1 << bit
        segment.write_bytes(content[:at] if cut else content)
        with VectorStore(Path(folder), DIMENSION) as store:
            vectors, missing = fill(store, ALL)
            assert missing  # the block that was hit
            block = at // (SEGMENT_BYTES // 3)
            assert {0, 3, 6}.intersection(missing) >= {3 * block}
            assert not set(missing) & set(range(3 * block))  # those before it are whole
            store.append(ALL[missing], vectors_of(ALL[missing]))
        found = np.setdiff1d(np.arange(len(ALL)), missing)
        np.testing.assert_array_equal(vectors[found], vectors_of(ALL)[found])
        with VectorStore(Path(folder), DIMENSION) as store:  # healed, the broken block beside it
            vectors, missing = fill(store, ALL)
        assert missing == []
        np.testing.assert_array_equal(vectors, vectors_of(ALL))


def test_what_others_add_is_seen_when_it_is_looked_for(tmp_path: Path) -> None:
    with VectorStore(tmp_path, DIMENSION) as one, VectorStore(tmp_path, DIMENSION) as two:
        one.append(PORTIONS[0], vectors_of(PORTIONS[0]))
        two.append(PORTIONS[1], vectors_of(PORTIONS[1]))
        assert len(fill(two, ALL)[1]) == 9
        two.refresh()
        assert fill(two, ALL)[1] == [3, 4, 5, 6, 7, 8]
        one.append(PORTIONS[2], vectors_of(PORTIONS[2]))
        two.refresh()
        assert fill(two, ALL)[1] == [3, 4, 5]
    assert store_size(tmp_path).vectors == 9
    assert len([*tmp_path.iterdir()]) == 2


def test_a_store_that_is_only_read_writes_nothing(tmp_path: Path) -> None:
    with VectorStore(tmp_path, DIMENSION) as store:
        assert fill(store, ALL)[1] == list(range(9))
    assert [*tmp_path.iterdir()] == []


def test_a_name_takes_little_memory(tmp_path: Path) -> None:
    count = 100_000
    with VectorStore(tmp_path, DIMENSION) as store:
        for start in range(0, count, 1000):
            keys = keys_of([str(number) for number in range(start, start + 1000)])
            store.append(keys, np.zeros((1000, DIMENSION), np.float16))
    tracemalloc.start()
    store = VectorStore(tmp_path, DIMENSION)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store_size(tmp_path).vectors == count
    assert held < 32 * count
