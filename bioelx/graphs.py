"""ONNX graphs on the CPU: how all of them are opened and run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy.typing as npt
import onnxruntime as ort

from bioelx.errors import FileError

_NO_MEMORY = re.compile("bad_alloc|bad allocation|Failed to allocate memory")


def open_graph(path: Path, *, threads: int = 0) -> ort.InferenceSession:
    """Opens a graph.

    Args:
        threads: of one run; 0 takes all cores.

    Raises:
        FileError: the file is missing or not a graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.inter_op_num_threads = 1
    # A server idles between calls; spinning threads would take the cores from the search.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, one a failure
        raise FileError(path, f"not a readable ONNX model ({error})") from None


def run_graph(
    session: ort.InferenceSession, output: str, feed: Mapping[str, npt.NDArray]
) -> npt.NDArray:
    """One output of a graph.

    Raises:
        MemoryError: there is none for so much at once.
    """
    try:
        return session.run([output], dict(feed))[0]
    except Exception as error:  # onnxruntime has no class for it
        if _NO_MEMORY.search(str(error)):
            raise MemoryError from error
        raise
