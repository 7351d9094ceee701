"""Rules of names: which strings that a source gives are no names at all.

Every name that came in has one *fate*: it stands in the result, or one of the rules below dropped
it. The first that it breaks is the one that counts.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

import langcodes
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
)

from bioelx.errors import FileError
from bioelx.kb.normalise import normalise
from bioelx_index.sources.curie import parse, scheme_named
from bioelx_index.sources.options import refusal

KEPT = "kept"
RETIRED = "of a retired concept"
EMPTY = "empty"
CONTROL = "control characters"
TOO_LONG = "too long"
NO_LETTERS = "no letters"
IDENTIFIER = "an identifier"
CODE = "a code"
LANGUAGE_CODE = "a language code"
NO_LANGUAGE = "language not in BCP 47"
REPEATED = "repeated"

FATES: dict[str, str] = {
    KEPT: "stands in the result",
    RETIRED: "its concept is retired, and nothing replaces it",
    EMPTY: "nothing is left of it in normal form",
    CONTROL: "has control characters, or U+FFFD where an encoding went wrong",
    TOO_LONG: "has more characters than max_length: a sentence, or several names in one",
    NO_LETTERS: "has only digits and punctuation",
    IDENTIFIER: "is an identifier of a known scheme, such as MONDO:0005068, C0027051 or Q12152",
    CODE: "is one of codes: the name of a vocabulary or a taxonomist's abbreviation",
    LANGUAGE_CODE: "is the code of its own language, such as en, or of a language in a script, "
    "such as zh-hans",
    NO_LANGUAGE: "its language has no tag in BCP 47",
    REPEATED: "a better source or kind gives the concept the same name in the same language",
}
"""What becomes of names, and when."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd]")
_LETTER = re.compile(r"[^\W\d_]")
_PREFIXED = re.compile(r"([A-Za-z][\w.-]*)[:_][A-Za-z]{0,3}\d[\w.-]*")
# Identifiers that stand without a prefix: of UMLS, MeSH and Wikidata. Shorter ones (Q10) are names.
_BARE = re.compile(r"C\d{7}|[CD]\d{6}(\d{3})?|Q\d{4,}")
_SCRIPTED = re.compile(r"[a-z]{2,3}-[a-z]{4}")
_BCP47 = re.compile(
    r"([a-z]{2,3}(?:-[a-z]{3})?|[a-z]{5,8})(-[a-z]{4})?(-(?:[a-z]{2}|\d{3}))?"
    r"((?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*)",
    re.IGNORECASE,
)
_CODES = (
    *("icd-9", "icd-10", "icd-11", "icd9", "icd9cm", "icd10", "icd10cm", "icd11"),
    *("snomedct", "snomedct_us", "ncbitaxon", "ncbi taxonomy", "taxid", "txid"),
    *("sp.", "spp.", "subsp.", "ssp.", "var.", "cf.", "n/a", "null"),
)


class Hygiene(BaseModel):
    """The rules as the table ``[hygiene]`` of sources.toml may set them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    control_characters: StrictBool = Field(True, description=f"Drop what {FATES[CONTROL]}.")
    max_length: Annotated[StrictInt, Field(ge=1)] = Field(
        200, description="Drop names with more characters."
    )
    no_letters: StrictBool = Field(True, description=f"Drop what {FATES[NO_LETTERS]}.")
    identifiers: StrictBool = Field(True, description=f"Drop what {FATES[IDENTIFIER]}.")
    language_codes: StrictBool = Field(
        True,
        description=f"Drop what {FATES[LANGUAGE_CODE]}. In lower case only: MS is a disease, ALS "
        "another.",
    )
    codes: tuple[Annotated[str, AfterValidator(normalise)], ...] = Field(
        _CODES,
        description="Drop these, whatever their case. Abbreviations that mean something "
        "else as often (MESH, GO, NOS) are none.",
    )
    ambiguous_above: Annotated[StrictInt, Field(ge=1)] = Field(
        3,
        description="Flag names that more concepts share. They are kept: a mention may be one. But "
        "training has nothing to learn from them. In the shipped snapshot 1 name in 600 has three "
        "concepts, mostly a disease, its phenotype and a gene; what four and more share are "
        "abbreviations (CAD, SCD) and titles of museum pieces.",
    )

    def broken_rule(self, text: str, key: str) -> str | None:
        """The rule that a string breaks in any language, or None; `key` is its normal form."""
        if not key:
            return EMPTY
        if self.control_characters and _CONTROL.search(text):
            return CONTROL
        if len(text) > self.max_length:
            return TOO_LONG
        if self.no_letters and not _LETTER.search(key):
            return NO_LETTERS
        if key in self.codes:
            return CODE
        if " " in text:  # as most names have, and no code that is told by its form
            return None
        if self.identifiers and _is_identifier(text):
            return IDENTIFIER
        if self.language_codes and _SCRIPTED.fullmatch(text) and langcodes.tag_is_valid(text):
            return LANGUAGE_CODE
        return None


def read_hygiene(path: Path) -> Hygiene:
    """The rules as sources.toml at `path` has them: the usual ones where it says nothing.

    Raises:
        FileError: a rule that does not exist, or a value that it cannot have; both are named.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8")).get("hygiene", {})
    if not isinstance(table, dict):
        raise FileError(path, "hygiene is no table: write [hygiene]")
    try:
        return Hygiene.model_validate(table)
    except ValidationError as error:
        raise FileError(path, refusal(error, Hygiene, "hygiene.")) from None


@cache
def language_tag(lang: str) -> str | None:
    """`lang` as BCP 47 writes it (``zh-Hant``, ``pt-BR``), or None if it is no such tag."""
    match = _BCP47.fullmatch(lang.replace("_", "-"))
    if match is None:
        return None
    language, script, region, variants = match.groups(default="")
    return language.lower() + script.title() + region.upper() + variants.lower()


def _is_identifier(text: str) -> bool:
    prefixed = _PREFIXED.fullmatch(text)
    if prefixed and scheme_named(prefixed[1]):
        return True
    return bool(_BARE.fullmatch(text)) or (text.startswith("http") and parse(text) is not None)
