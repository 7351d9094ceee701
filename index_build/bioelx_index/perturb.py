"""Real names as people write them: mistyped, in another case or word order, spaced otherwise,
inflected, without their diacritics.

What stands for mentions where no corpus does: in measuring an index, fitting confidence and
training an encoder. Every function is pure but for its random generator, and returns the name as it
is where it has nothing to change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from bioelx.kb import normalise

T = TypeVar("T")

_RECASED_SHARE = 1 / 3  # of perturbed names: case is lost on the linker, but not on its callers


Change = Callable[[str, str], str]
"""Makes of a name and its language another spelling, or the same where it has nothing to change."""


def perturb(name: str, lang: str, rng: np.random.Generator, others: Sequence[Change] = ()) -> str:
    """The name with one change that normalisation does not undo, sometimes in another case too.

    The kinds of change are equally likely among those that change this name. A name of one letter,
    or of none, is returned as it is.

    Args:
        lang: of the name, BCP 47; decides how it inflects.
        others: changes beside those of this module.
    """
    changes: list[Callable[[], str]] = [
        lambda: typo(name, rng),
        lambda: reorder(name, rng),
        lambda: respace(name, lang, rng),
        lambda: inflect(name, lang, rng),
        lambda: without_diacritics(name),
        *(partial(change, name, lang) for change in others),
    ]
    for change in _shuffled(changes, rng):
        changed = change()
        if _differs(changed, name):
            recased = recase(changed, rng) if rng.random() < _RECASED_SHARE else changed
            return recased if _differs(recased, name) else changed
    return name


def _differs(changed: str, name: str) -> bool:
    """Whether there is a difference that the linker could see."""
    key = normalise(changed)
    return bool(key) and key != normalise(name)


# Typing errors

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {
    key: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in _KEYBOARD
    for at, key in enumerate(row)
}
_HANGUL, _FINALS, _VOWELS = range(0xAC00, 0xD7A4), 28, 21


def typo(name: str, rng: np.random.Generator) -> str:
    """The name with one letter left out, doubled, exchanged with the next, or mistaken.

    The first letter, which is seldom wrong, and digits, which tell names apart, stay. A mistaken
    letter is one beside it on the keyboard (Latin), another of the name (other alphabets), or has
    another vowel or final (Korean). Ideographs are not mistaken: that would take a dictionary of
    homophones.
    """
    letters = [at for at, char in enumerate(name) if char.isalpha()]
    kept = {*letters[:1], *(at for at, char in enumerate(name) if char.isdigit())}
    edits: list[Callable[[int], str]] = [
        lambda at: name[:at] + name[at] + name[at:],
        lambda at: _swapped(name, at) if at - 1 not in kept else name,
        lambda at: name[:at] + _mistaken(name, at, rng) + name[at + 1 :],
    ]
    if len(letters) > 3:
        edits.append(lambda at: name[:at] + name[at + 1 :])
    for at in _shuffled(letters[1:], rng):
        for edit in _shuffled(edits, rng):
            changed = edit(at)
            if _differs(changed, name):
                return changed
    return name


def _swapped(name: str, at: int) -> str:
    return name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]


def _mistaken(name: str, at: int, rng: np.random.Generator) -> str:
    letter = name[at]
    if ord(letter) in _HANGUL:
        # A syllable's code is (initial * 21 + vowel) * 28 + final.
        rest, final = divmod(ord(letter) - _HANGUL.start, _FINALS)
        initial, vowel = divmod(rest, _VOWELS)
        if rng.random() < 0.5:
            vowel = (vowel + 1 + int(rng.integers(_VOWELS - 1))) % _VOWELS
        else:
            final = 0 if final else 1 + int(rng.integers(_FINALS - 1))
        return chr(_HANGUL.start + (initial * _VOWELS + vowel) * _FINALS + final)
    if beside := _BESIDE.get(letter.lower()):
        wrong = _pick(beside, rng)
        return wrong.upper() if letter.isupper() else wrong
    if "CJK" in unicodedata.name(letter, ""):
        return letter
    return _pick([char for char in name if char.isalpha()], rng)


# Case and order


def recase(name: str, rng: np.random.Generator) -> str:
    """The name in capitals, in small letters, or with a capital at its start or at each word's."""
    spellings = {name.upper(), name.lower(), name.title(), name[:1].upper() + name[1:].lower()}
    others = sorted(spellings - {name, ""})
    return _pick(others, rng) if others else name


def reorder(name: str, rng: np.random.Generator) -> str:
    """The name with its words in another order.

    "Failure, heart" is read in its natural order, as thesauri invert names; others are inverted,
    with a comma or without.
    """
    head, comma, modifier = name.partition(", ")
    if comma and head and modifier and ", " not in modifier:
        return f"{modifier} {head}"
    words = name.split()
    if len(words) < 2:
        return name
    between = _pick((", ", " "), rng)
    return f"{words[-1]}{between}{' '.join(words[:-1])}"


def respace(name: str, lang: str, rng: np.random.Generator) -> str:
    """The name with a space or hyphen between two words left out or put in the other's place, or
    (Korean, whose writers differ on it) a space put into a word.

    Between digits nothing is left out: "2 5" is not "25".
    """
    between = [
        at
        for at in range(1, len(name) - 1)
        if name[at] in " -" and name[at - 1].isalpha() and name[at + 1].isalpha()
    ]
    edits = [(at, at + 1, joint) for at in between for joint in ("", *({" ", "-"} - {name[at]}))]
    if lang.split("-")[0] == "ko":
        # Not after one syllable nor before the last: few words are so short.
        inside = [at for at in range(2, len(name) - 1) if _is_hangul(name[at - 2 : at + 2])]
        edits += [(at, at, " ") for at in inside]
    if not edits:
        return name
    start, end, joint = _pick(edits, rng)
    return name[:start] + joint + name[end:]


def _is_hangul(letters: str) -> bool:
    return all(ord(letter) in _HANGUL for letter in letters)


# Diacritics

_PLAIN = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "œ": "oe", "Œ": "OE"}
    | {"æ": "ae", "Æ": "AE", "ё": "е", "Ё": "Е"}
)


def without_diacritics(name: str) -> str:
    """The name as keyboards without its accents write it.

    Latin and Greek letters, and the Russian ё, lose their marks; in other scripts marks make other
    letters, and stay.
    """
    plain = name.translate(_PLAIN)
    if plain.isascii():
        return plain
    return "".join(map(_without_marks, unicodedata.normalize("NFC", plain)))


def _without_marks(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0]
    return base if unicodedata.name(base, "").startswith(("LATIN", "GREEK")) else letter


# Inflection


class _Inflection(NamedTuple):
    """How the words of a language change in a sentence, as far as endings tell.

    A rule is a pattern and what may stand in its place; of all rules the first whose pattern is
    found in a word speaks for it. Capitals in an ending stand for vowels that follow those before
    (A: low, I: high). Exceptions, gradation within the stem and gender are left out.
    """

    rules: tuple[tuple[str, tuple[str, ...]], ...]
    words: Callable[[Sequence[str]], range]  # which words change
    agree: Callable[[str, str], str] = str.__add__  # joins a stem and an ending


def inflect(name: str, lang: str, rng: np.random.Generator) -> str:
    """The name in another case or number, or with a particle, by rules of its language.

    Words with digits or signs, single letters and words all in capitals are left as they are; so is
    a name in a language without rules here, or without inflection.
    """
    inflection = _INFLECTIONS.get(lang.split("-")[0])
    words = name.split(" ")
    if inflection is None:
        return name
    for at in inflection.words(words):
        words[at] = _inflected(words[at], inflection, rng)
    return " ".join(words)


def _inflected(word: str, inflection: _Inflection, rng: np.random.Generator) -> str:
    if len(word) < 2 or not word.isalpha() or word.isupper():
        return word
    for pattern, endings in inflection.rules:
        if found := re.search(pattern, word):
            if not endings:
                return word
            ending = found.expand(_pick(endings, rng))
            return inflection.agree(word[: found.start()], ending) + word[found.end() :]
    return word


def _last(words: Sequence[str]) -> range:
    return range(len(words) - 1, len(words))


def _first(words: Sequence[str]) -> range:
    return range(1)


def _before(stops: str) -> Callable[[Sequence[str]], range]:
    """All words before the first preposition or article: the noun and its adjectives."""
    stop = frozenset(stops.split())

    def words_before(words: Sequence[str]) -> range:
        return range(next((i for i, word in enumerate(words) if word.lower() in stop), len(words)))

    return words_before


def _through_noun(adjective: str) -> Callable[[Sequence[str]], range]:
    """Adjectives at the start, and the noun after them."""
    is_adjective = re.compile(adjective)

    def words_through(words: Sequence[str]) -> range:
        nouns = (i for i, word in enumerate(words) if not is_adjective.search(word))
        return range(min(next(nouns, len(words)) + 1, len(words)))

    return words_through


def _in_harmony(*groups: tuple[str, str, str]) -> Callable[[str, str], str]:
    """Joins a stem and an ending whose A and I become what the last vowel before them asks for.

    Args:
        groups: vowels, and what A and I are after them; a stem with none takes the first group's.
    """
    following = {vowel: {"A": low, "I": high} for vowels, low, high in groups for vowel in vowels}

    def joined(stem: str, ending: str) -> str:
        last = next((char for char in reversed(stem.lower()) if char in following), groups[0][0][0])
        for char in ending:
            char = following[last].get(char, char)
            last = char if char in following else last
            stem += char
        return stem

    return joined


def _with_particle(stem: str, ending: str) -> str:
    """Joins a Korean word and a particle given as `after a final/after a vowel`."""
    after_final, _, after_vowel = ending.partition("/")
    code = ord(stem[-1]) - _HANGUL.start
    closed = ord(stem[-1]) in _HANGUL and code % _FINALS > 0
    return stem + (after_final if closed or not after_vowel else after_vowel)


_SCANDINAVIAN = _Inflection(
    ((r"a$", ("an", "or")), (r"e$", ("en",)), (r"$", ("en", "et", "s"))), _last
)

_INFLECTIONS = {
    "en": _Inflection(
        ((r"([sxz]|[cs]h)$", (r"\1es",)), (r"([^aeiou])y$", (r"\1ies",)), (r"$", ("s",))), _last
    ),
    "de": _Inflection(
        (
            (r"(ung|heit|keit|ion|tät|schaft)$", (r"\1en",)),
            (r"e$", ("en",)),
            (r"[iu]s$", ()),
            (r"([sßxz])$", (r"\1es",)),
            (r"$", ("s", "en")),
        ),
        _last,
    ),
    "nl": _Inflection(
        ((r"e$", ("en",)), (r"(e[lmnr])$", (r"\1s",)), (r"s$", ()), (r"$", ("en",))), _last
    ),
    "sv": _SCANDINAVIAN,
    "da": _SCANDINAVIAN,
    "nb": _SCANDINAVIAN,
    "es": _Inflection(
        (
            (r"z$", ("ces",)),
            (r"ión$", ("iones",)),
            (r"[sx]$", ()),
            (r"([aeiouáéó])$", (r"\1s",)),
            (r"$", ("es",)),
        ),
        _before("a al con de del el en la las los para por sin y"),
    ),
    "fr": _Inflection(
        ((r"[sxz]$", ()), (r"(e?au|eu)$", (r"\1x",)), (r"al$", ("aux",)), (r"$", ("s",))),
        _before("à au aux avec de des du en et la le les par sans"),
    ),
    "it": _Inflection(
        (
            (r"([cg])a$", (r"\1he",)),
            (r"a$", ("e",)),
            (r"io$", ("i",)),
            (r"[eo]$", ("i",)),
        ),
        _before("a al alla con da dal dalla di del della delle dei e in la il lo per senza"),
    ),
    "pt": _Inflection(
        (
            (r"ão$", ("ões",)),
            (r"m$", ("ns",)),
            (r"([aeou])l$", (r"\1is",)),
            (r"([rz])$", (r"\1es",)),
            (r"([aeiouáéíóúã])$", (r"\1s",)),
        ),
        _before("a ao com da das de do dos e em na no o por sem"),
    ),
    "ru": _Inflection(
        (
            (r"([гкх])ий$", (r"\1ого", r"\1им")),
            (r"([жчшщн])ий$", (r"\1его", r"\1им")),
            (r"ий$", ("ия", "ием")),
            (r"[ыо]й$", ("ого", "ым", "ому")),
            (r"ая$", ("ой", "ую")),
            (r"яя$", ("ей", "юю")),
            (r"ое$", ("ого", "ым")),
            (r"ые$", ("ых", "ыми")),
            (r"([еа]н|т)ие$", (r"\1ия", r"\1ием", r"\1ии")),
            (r"ие$", ("их", "ими")),
            (r"ия$", ("ии", "ию", "ией")),
            (r"ь$", ("и", "ью")),
            (r"([гкхжчшщ])а$", (r"\1и", r"\1у")),
            (r"а$", ("ы", "у", "ой")),
            (r"я$", ("и", "ю", "ей")),
            (r"й$", ("я", "ем")),
            (r"о$", ("а", "ом")),
            (r"([бвгджзклмнпрстфхцчшщ])$", (r"\1а", r"\1ом", r"\1у")),
        ),
        _through_noun(r"([ыо]й|[гкхжчшщн]ий|[ая]я|[ое]е|ые|[гкхн]ие)$"),
    ),
    "cs": _Inflection(
        (
            (r"ý$", ("ého", "ým")),
            (r"á$", ("é", "ou")),
            (r"é$", ("ého", "ému")),
            (r"([nt])í$", (r"\1ím",)),
            (r"í$", ("ího", "ím")),
            (r"a$", ("y", "u", "ou")),
            (r"e$", ("í",)),
            (r"o$", ("a", "em")),
            (r"([bcčdďfghjklmnňpqrřsštťvwxzž])$", (r"\1u", r"\1em")),
        ),
        _through_noun(r"[ýáéí]$"),
    ),
    "fi": _Inflection(
        (
            (r"nen$", ("sen", "stA", "sessA")),
            (r"([aeu])us$", (r"\1uden", r"\1uttA")),
            (r"([eyäö])ys$", (r"\1yden", r"\1yttA")),
            (r"([uy])s$", (r"\1ksen", r"\1stA")),
            (r"es$", ("eksen", "estA")),
            (r"([aeiouyäö])$", (r"\1n", r"\1ssA", r"\1stA", r"\1llA", r"\1nA")),
            (r"$", ("in", "issA", "istA")),
        ),
        _last,
        _in_harmony(("yäö", "ä", ""), ("aou", "a", "")),
    ),
    "hu": _Inflection(
        (
            (r"a$", ("át", "ában", "ának")),
            (r"e$", ("ét", "ében", "ének")),
            (r"([iouáéíóöőúüű])$", (r"\1t", r"\1bAn", r"\1nAk")),
            (r"$", ("bAn", "nAk", "rA")),
        ),
        _last,
        _in_harmony(("eéiíöőüű", "e", ""), ("aáoóuú", "a", "")),
    ),
    "tr": _Inflection(
        (
            (r"([aeıioöuü])$", (r"\1yI", r"\1nIn", r"\1dA", r"\1dAn", r"\1lAr", r"\1sI")),
            (r"k$", ("ğI", "ğIn", "ktA", "ktAn", "klAr")),
            (r"([fstçşhp])$", (r"\1I", r"\1In", r"\1tA", r"\1tAn", r"\1lAr")),
            (r"$", ("I", "In", "dA", "dAn", "lAr")),
        ),
        _last,
        _in_harmony(("ei", "e", "i"), ("aı", "a", "ı"), ("ou", "a", "u"), ("öü", "e", "ü")),
    ),
    "ko": _Inflection(
        ((r"$", ("은/는", "이/가", "을/를", "과/와", "의", "에")),), _last, _with_particle
    ),
    "ja": _Inflection(((r"$", ("の", "は", "が", "を", "に", "で", "と")),), _last),
    "ar": _Inflection(((r"^ال", ("لل", "وال", "بال")), (r"^", ("ال", "ب", "و"))), _first),
    "he": _Inflection(((r"^", ("ה", "ב", "ל", "ו")),), _first),
}


# Chance


def _pick(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]


def _shuffled(options: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [options[int(i)] for i in rng.permutation(len(options))]
