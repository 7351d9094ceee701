"""Which index is chosen, by size and device."""

import pytest

from bioelx.errors import BioelxError, InstallationError
from bioelx.search.choice import check_gpu_memory, choose_factory, wants_gpu
from bioelx.settings import IndexSettings, read_settings


@pytest.mark.parametrize(
    ("texts", "gpu", "factory"),
    [
        (250_000, False, "Flat"),
        (250_001, False, "HNSW32,SQ8"),
        (10_000_000, True, "SQfp16"),  # 7.7 GB
        (40_000_000, True, "IVF25296,SQ8"),
    ],
)
def test_size_and_device_choose_the_index(texts: int, gpu: bool, factory: str) -> None:
    assert choose_factory(texts, 384, IndexSettings(), gpu=gpu) == factory


def test_settings_come_before_size_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOELX_INDEX_EXACT_UP_TO", "10")
    monkeypatch.setenv("BIOELX_INDEX_GPU_GIGABYTES", "0.01")
    settings = read_settings(IndexSettings)
    assert choose_factory(11, 384, settings, gpu=False) == "HNSW32,SQ8"
    assert choose_factory(1_000_000, 384, settings, gpu=True) == "IVF4000,SQ8"
    monkeypatch.setenv("BIOELX_INDEX_FACTORY", "SQ8")
    for gpu in (False, True):
        assert choose_factory(11, 384, read_settings(IndexSettings), gpu=gpu) == "SQ8"


def test_a_setting_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOELX_INDEX_MIN_RECALL", "95")
    with pytest.raises(BioelxError, match=r"BIOELX_INDEX_MIN_RECALL.*less than or equal to 1"):
        read_settings(IndexSettings)


@pytest.mark.parametrize(
    ("device", "gpus", "wanted"),
    [("auto", 0, False), ("auto", 1, True), ("cpu", 1, False), ("gpu", 1, True)],
)
def test_the_device(device: str, gpus: int, wanted: bool) -> None:
    assert wants_gpu(IndexSettings(device=device), gpus) is wanted


def test_no_gpu_where_one_is_asked_for_names_the_command() -> None:
    with pytest.raises(InstallationError, match=r"pip install 'bioelx\[gpu\]'"):
        wants_gpu(IndexSettings(device="gpu"), 0)


def test_too_many_vectors_for_the_gpu_say_what_to_change() -> None:
    check_gpu_memory(10_000_000, 384, IndexSettings())
    with pytest.raises(BioelxError, match=r"30\.7 GB.*BIOELX_INDEX_GPU_GIGABYTES allows 8"):
        check_gpu_memory(40_000_000, 384, IndexSettings())
