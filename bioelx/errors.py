"""The errors that users meet, each saying what was wrong and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BioelxError(Exception):
    """Whatever BioELX refuses to do, with a message meant for the user."""


class InvalidRequestError(BioelxError):
    """A request that cannot be answered as it stands.

    `field` is the path of the offending field (`documents[0].mentions[2].end`). Neither the field
    nor the message ever holds the request's text: documents are patients' words.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class NotFoundError(BioelxError):
    """An id that names nothing here: a release or a concept."""


class FileError(BioelxError):
    """A file that is missing, truncated, or not what it should be."""

    def __init__(self, path: Path | str, message: str, *, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {message}")
        self.path = Path(path)
        self.line = line


class SourceError(BioelxError):
    """A source of knowledge that does not answer, or answers nonsense."""


class InstallationError(BioelxError):
    """A part of the installation is missing; the message names the command that adds it."""


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Imports of packages that only an extra of the installation brings, for `what` needs them.

    Raises:
        InstallationError: one of them is not there.
    """
    try:
        yield
    except ImportError as error:
        raise InstallationError(
            f"{what} needs {error.name}: pip install 'bioelx[{extra}]'"
        ) from None


class OverloadedError(BioelxError):
    """More is asked than the server takes on; `retry_after` says for how many seconds."""

    def __init__(self, retry_after: float, problem: str = "the server is overloaded") -> None:
        super().__init__(f"{problem}; try again in {retry_after:.1f} s")
        self.retry_after = retry_after


class ServiceError(BioelxError):
    """A call that failed for another reason; `code` is the name of its gRPC status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def cannot_listen(address: str) -> ServiceError:
    """For an address that no port could be opened on."""
    return ServiceError("UNAVAILABLE", f"cannot listen on {address}: in use, or not an address")
