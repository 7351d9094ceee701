from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.service.offsets import Offsets
from bioelx.v1 import linker_pb2 as pb

ENCODINGS = {
    pb.OFFSET_UNIT_CODE_POINTS: ("utf-32-le", 4),
    pb.OFFSET_UNIT_UTF16: ("utf-16-le", 2),
    pb.OFFSET_UNIT_UTF8: ("utf-8", 1),
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
UNITS = st.sampled_from(list(ENCODINGS))


@given(TEXTS, UNITS)
def test_every_boundary_agrees_with_pythons_own_encoding(text, unit):
    encoding, bytes_per_unit = ENCODINGS[unit]
    offsets = Offsets(text, unit)
    for code_point in range(len(text) + 1):
        offset = len(text[:code_point].encode(encoding)) // bytes_per_unit
        assert offsets.to_code_points(offset) == code_point


@given(TEXTS, UNITS)
def test_every_other_offset_is_refused(text, unit):
    encoding, bytes_per_unit = ENCODINGS[unit]
    offsets = Offsets(text, unit)
    boundaries = {len(text[:i].encode(encoding)) // bytes_per_unit for i in range(len(text) + 1)}
    for offset in set(range(max(boundaries) + 2)) - boundaries:
        with pytest.raises(ValueError, match=r"is inside|is outside"):
            offsets.to_code_points(offset)


@pytest.mark.parametrize(
    ("unit", "offset", "message"),
    [
        (pb.OFFSET_UNIT_UTF16, 2, "is inside a surrogate pair"),
        (pb.OFFSET_UNIT_UTF8, 3, "is inside a UTF-8 sequence"),
        (pb.OFFSET_UNIT_UTF8, 6, "is inside a UTF-8 sequence"),
        (pb.OFFSET_UNIT_UTF8, 9, "is outside the text, which ends at 8"),
        (pb.OFFSET_UNIT_UNSPECIFIED, 4, "is outside the text, which ends at 3"),
        (pb.OFFSET_UNIT_UNSPECIFIED, 2**64 - 1, "is outside the text, which ends at 3"),
    ],
)
def test_a_bad_offset_says_why(unit, offset, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Offsets("a🫀병", unit).to_code_points(offset)
