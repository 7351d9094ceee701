"""A SPARQL server of one's own: oxigraph on a free loopback port, loaded with an RDF file."""

from __future__ import annotations

import lzma
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioelx.errors import InstallationError, SourceError

_START_SECONDS = 60


@contextmanager
def local_endpoint(triples: Path, *, writable: bool = False) -> Iterator[str]:
    """Serves `triples` (.nt or .nt.xz) and yields the URL of its SPARQL endpoint, `.../query`.

    If it is writable, SPARQL updates go to `.../update`. The store lies in a temporary folder; it
    and the server are gone when the block ends.

    Raises:
        InstallationError: the `oxigraph` wheel is not installed.
        SourceError: the file does not load, or the server does not come up.
    """
    program = _find_oxigraph()
    with tempfile.TemporaryDirectory(prefix="bioelx-oxigraph-") as folder:
        store = Path(folder) / "store"
        _load(program, triples, store, Path(folder))
        address = f"127.0.0.1:{free_port()}"
        mode = "serve" if writable else "serve-read-only"
        command = [program, mode, "--location", str(store), "--bind", address]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(f"http://{address}/", server)
            yield f"http://{address}/query"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _find_oxigraph() -> str:
    # Beside this interpreter first: a virtual environment need not be activated.
    beside = Path(sysconfig.get_path("scripts")) / "oxigraph"
    found = str(beside) if beside.is_file() else shutil.which("oxigraph")
    if not found:
        raise InstallationError("no oxigraph here: pip install 'bioelx[quickstart]'")
    return found


def _load(program: str, triples: Path, store: Path, folder: Path) -> None:
    plain = triples
    if triples.suffix == ".xz":
        plain = folder / triples.stem
        with lzma.open(triples) as packed, plain.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    command = [program, "load", "--location", str(store), "--file", str(plain)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    if loaded.returncode != 0:
        raise SourceError(f"{triples}: oxigraph could not load it: {loaded.stderr.strip()[-500:]}")


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SourceError(f"the oxigraph server at {url} stopped with {server.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310  (our own loopback server)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise SourceError(f"the oxigraph server at {url} was not up within {_START_SECONDS} s")
