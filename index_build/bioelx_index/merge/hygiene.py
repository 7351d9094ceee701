"""Rules of names: which strings that a source gives are no names at all."""

from __future__ import annotations

import re
from functools import cache

MAX_NAME_LENGTH = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd]")
_LETTER = re.compile(r"[^\W\d_]")
_BCP47 = re.compile(
    r"([a-z]{2,3}(?:-[a-z]{3})?|[a-z]{5,8})(-[a-z]{4})?(-(?:[a-z]{2}|\d{3}))?"
    r"((?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*)",
    re.IGNORECASE,
)

NO_LANGUAGE = "language is not BCP 47"
RETIRED = "of a retired concept"
REPEATED = "repeated"


def broken_rule(text: str, key: str) -> str | None:
    """The rule that a name breaks, or None; `key` is its normal form."""
    if not key:
        return "empty"
    if _CONTROL.search(text):
        return "control characters"
    if len(text) > MAX_NAME_LENGTH:
        return f"longer than {MAX_NAME_LENGTH} characters"
    if not _LETTER.search(key):
        return "only digits or punctuation"
    return None


@cache
def language_tag(lang: str) -> str | None:
    """`lang` as BCP 47 writes it (``zh-Hant``, ``pt-BR``), or None if it is no such tag."""
    match = _BCP47.fullmatch(lang.replace("_", "-"))
    if match is None:
        return None
    language, script, region, variants = match.groups(default="")
    return language.lower() + script.title() + region.upper() + variants.lower()
