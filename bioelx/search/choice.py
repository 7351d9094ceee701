"""Which index, by size and device (docs/index.md has the measurements)."""

from __future__ import annotations

import math

from bioelx.errors import BioelxError, InstallationError
from bioelx.settings import IndexSettings, SearchSettings

EXACT_FACTORY = "Flat"
HNSW_FACTORY = "HNSW32,SQ8"
GPU_FACTORY = "SQfp16"
"""Every vector is compared, as on a GPU from whatever file, but for IVF."""
_LISTS_PER_ROOT = 4  # IVF's lists: between 4 and 16 times the root of the number of vectors


def choose_factory(texts: int, dimension: int, settings: IndexSettings, *, gpu: bool) -> str:
    """The FAISS factory string of an index of so many vectors.

    On a CPU exact search while it is affordable, HNSW over 8-bit vectors (Malkov and Yashunin 2018)
    beyond; on a GPU exact search in half precision while it fits, inverted lists of 8-bit vectors
    beyond.
    """
    if settings.factory:
        return settings.factory
    if not gpu:
        return EXACT_FACTORY if texts <= settings.exact_up_to else HNSW_FACTORY
    if half_gigabytes(texts, dimension) <= settings.gpu_gigabytes:
        return GPU_FACTORY
    return f"IVF{_LISTS_PER_ROOT * math.isqrt(texts)},SQ8"


def wants_gpu(settings: SearchSettings, gpus: int) -> bool:
    """Whether to search on a GPU, where FAISS sees so many.

    Raises:
        InstallationError: one is asked for and there is none.
    """
    if settings.device == "gpu" and not gpus:
        raise InstallationError(
            "BIOELX_INDEX_DEVICE=gpu, but FAISS sees no GPU: on a GPU host, pip uninstall -y "
            "faiss-cpu, then pip install 'bioelx[gpu]'; elsewhere set it to auto or cpu"
        )
    return settings.device != "cpu" and gpus > 0


def check_gpu_memory(texts: int, dimension: int, settings: SearchSettings) -> None:
    """Makes sure that vectors in half precision are within their budget.

    Raises:
        BioelxError: they are not; saying what to change.
    """
    needed = half_gigabytes(texts, dimension)
    if needed > settings.gpu_gigabytes:
        raise BioelxError(
            f"{texts:,} vectors take {needed:.1f} GB of the GPU in half precision, and "
            f"BIOELX_INDEX_GPU_GIGABYTES allows {settings.gpu_gigabytes:g}: raise it, build the "
            "release with inverted lists (BIOELX_INDEX_FACTORY=IVF16384,SQ8), or search on the CPU "
            "(BIOELX_INDEX_DEVICE=cpu)"
        )


def half_gigabytes(texts: int, dimension: int) -> float:
    return texts * dimension * 2 / 1e9
