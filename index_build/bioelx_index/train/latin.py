"""Names in Latin letters, as people write them where the letters of their language are not at hand:
`sakharnyy diabet`, `simgeungyeongsaeg`, `Entzuendung`."""

from __future__ import annotations

import re
import unicodedata

from anyascii import anyascii

from bioelx.kb.normalise import normalise

_SOUNDED = frozenset(
    ("LATIN", "CYRILLIC", "HANGUL", "HIRAGANA", "KATAKANA", "ARMENIAN", "GEORGIAN")
)
"""Scripts that are written sound by sound. Arabic, Hebrew and Thai are not here: a table of letters
makes of them what nobody writes, without vowels or with the vowels in another order."""

_SOUNDED_IN = {"zh": frozenset(("CJK",)), "el": frozenset(("GREEK",))}
"""Scripts that are so in one language only: Han has other sounds in Japanese, and elsewhere a Greek
letter is a sign with a name (β)."""

_COMBINED = re.compile("[ぁぃぅぇぉっゃゅょァィゥェォッャュョ]")
"""Kana that change the sound before or after them, which a table of letters does not know."""

_AS_TWO = {
    "de": str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"}),
    **dict.fromkeys(("da", "nb", "nn", "no"), str.maketrans({"å": "aa", "ø": "oe", "æ": "ae"})),
}


def in_latin(name: str, lang: str) -> str:
    """The name in Latin letters, in the normal form; as it is where that is not done.

    Args:
        lang: of the name, BCP 47.
    """
    lang = lang.split("-")[0]
    key = normalise(name)
    scripts = {_script(letter) for letter in key if letter.isalpha()}
    if scripts == {"LATIN"}:
        return normalise(key.translate(_AS_TWO.get(lang, {})))
    if not scripts <= _SOUNDED | _SOUNDED_IN.get(lang, frozenset()) or _COMBINED.search(key):
        return key
    return normalise(anyascii(key).replace("'", "")) or key  # soft signs


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]
