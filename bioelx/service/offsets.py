"""Offsets of callers whose strings are not made of code points."""

from __future__ import annotations

import numpy as np

from bioelx.v1 import linker_pb2 as pb

# From which code points on a character takes one unit more.
_LONGER_FROM: dict[pb.OffsetUnit.ValueType, tuple[int, ...]] = {
    pb.OFFSET_UNIT_UNSPECIFIED: (),
    pb.OFFSET_UNIT_CODE_POINTS: (),
    pb.OFFSET_UNIT_UTF16: (0x10000,),
    pb.OFFSET_UNIT_UTF8: (0x80, 0x800, 0x10000),
}
_SEQUENCE = {pb.OFFSET_UNIT_UTF16: "surrogate pair", pb.OFFSET_UNIT_UTF8: "UTF-8 sequence"}

UNITS = frozenset(_LONGER_FROM)


class Offsets:
    """Turns offsets into one text, counted in `unit`, into code points."""

    def __init__(self, text: str, unit: pb.OffsetUnit.ValueType) -> None:
        self._unit = unit
        code_points = np.frombuffer(text.encode("utf-32-le"), "<u4")
        widths = np.ones(len(code_points), np.int64)
        for longer_from in _LONGER_FROM[unit]:
            widths += code_points >= longer_from
        self._boundaries = np.concatenate([[0], np.cumsum(widths)])
        """Offset in `unit` of each code point, and of the end of the text."""

    @property
    def end(self) -> int:
        """The length of the text in `unit`."""
        return int(self._boundaries[-1])

    def to_code_points(self, offset: int) -> int:
        """Returns the code point that starts at `offset`, or the text's length for its end.

        Raises:
            ValueError: `offset` is outside the text or inside a surrogate pair or sequence.
        """
        if not 0 <= offset <= self.end:
            raise ValueError(f"is outside the text, which ends at {self.end}")
        found = int(np.searchsorted(self._boundaries, offset))
        if self._boundaries[found] != offset:
            raise ValueError(f"is inside a {_SEQUENCE[self._unit]}")
        return found
