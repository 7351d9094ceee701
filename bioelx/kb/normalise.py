"""One normal form of a name, shared by everything that compares names.

Names are unique, cached, encoded and looked up in this form, so a mention equal to a name "after
normalisation" gets that name's vector to the last bit.
"""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s+")
# Zero-width and directional marks carry no meaning in a name; a soft hyphen is typography.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4\u0060\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    }
)


def normalise(text: str) -> str:
    """Returns `text` in the normal form: Unicode NFKC, case-folded, one kind of dash, apostrophe
    and quotation mark, no invisible characters, single spaces. Idempotent; may return ``""``.

    The dot that case-folding leaves over the Turkish capital İ is dropped, so that "KRİZİ" and
    "krizi" agree.
    """
    if text.isascii():
        return _SPACES.sub(" ", _CONTROL.sub(" ", text)).replace("`", "'").lower().strip()
    # Typography first: NFKC turns a lone acute accent into a space and a combining mark.
    folded = _INVISIBLE.sub("", text).translate(_TYPOGRAPHY)
    # Case-folding can undo NFKC and the other way round; twice is enough for a fixed point.
    for _ in range(2):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    folded = _INVISIBLE.sub("", folded).translate(_TYPOGRAPHY).replace("i\u0307", "i")
    return _SPACES.sub(" ", _CONTROL.sub(" ", folded)).strip()
