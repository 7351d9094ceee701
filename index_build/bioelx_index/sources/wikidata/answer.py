"""An endpoint's answer as it comes in: whole, or a failure that says what was wrong."""

from __future__ import annotations

import re
import time
import zlib
from http.client import HTTPResponse
from typing import TypeAlias

import orjson

Rows: TypeAlias = list[dict[str, dict[str, str]]]
"""Bindings as SPARQL's JSON has them: variable -> type, value and, of a text, `xml:lang`."""

_CHUNK = 1 << 18
_NUMBER = re.compile(r"[0-9]+")


class FailedError(Exception):
    """An answer that was none, though the next one may be.

    Args:
        too_much: the question may have been.
        rest: seconds that the endpoint wants to be left alone.
        unreachable: there was nobody.
    """

    def __init__(
        self,
        problem: str,
        *,
        too_much: bool = False,
        rest: float = 0.0,
        unreachable: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.too_much = too_much
        self.rest = rest
        self.unreachable = unreachable


class Answer:
    """The content of an answer with status 200, unpacked; to be read like a file.

    Args:
        seconds: after which it has timed out.
        largest: bytes that `content` takes.
    """

    def __init__(self, response: HTTPResponse, *, seconds: float, largest: int) -> None:
        self.headers = response.headers
        self.size = 0
        self._response = response
        self._deadline = time.monotonic() + seconds
        self._largest = largest
        packed = response.headers.get("Content-Encoding", "") == "gzip"
        self._unpacker = zlib.decompressobj(wbits=31) if packed else None
        self._begin = b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, however many; none at the end, or if none are wanted (`size` is 0)."""
        chunk = b""
        while size and not chunk and (packed := self._response.read1(_CHUNK)):
            chunk = self._unpacker.decompress(packed) if self._unpacker else packed
            if time.monotonic() > self._deadline:
                raise FailedError("timed out in the middle of the answer", too_much=True)
        self._begin = self._begin or chunk.lstrip()[:1]
        self.size += len(chunk)
        return chunk

    def content(self) -> bytes:
        """All of it."""
        content = bytearray()
        while chunk := self.read():
            content += chunk
            if len(content) > self._largest:
                limit = f"an answer of more than {self._largest >> 20} MiB"
                raise FailedError(limit, too_much=True)
        return bytes(content)

    def broken(self, error: Exception) -> FailedError:
        """What a fault of the content means.

        A query that timed out can end an answer with status 200 in the middle; a busy server can
        answer with a page of HTML.
        """
        return FailedError(f"no whole SPARQL JSON ({error})", too_much=self._begin == b"{")


def rows(answer: Answer) -> Rows:
    """All rows of a SELECT query's answer."""
    try:
        found = orjson.loads(answer.content())["results"]["bindings"]
        if not isinstance(found, list):
            raise TypeError("its bindings are no list")
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise answer.broken(error) from None
    # Virtuoso cuts answers at a limit and says so in a header only.
    most = answer.headers.get("X-SPARQL-MaxRows", "")
    if _NUMBER.fullmatch(most) and len(found) >= int(most):
        raise FailedError(f"an answer of its utmost {most} rows", too_much=True)
    return found
