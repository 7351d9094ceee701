"""Options of readers, as an entry of sources.toml states them: checked, and refused by name."""

from __future__ import annotations

from typing import Annotated

import langcodes
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from bioelx.types import TYPES
from bioelx_index.sources.curie import parse, scheme_named


class Options(BaseModel):
    """What a reader can be told; each reader that takes options has its own kind, and takes all
    at their defaults where an entry states none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def refusal(error: ValidationError, known: type[BaseModel], table: str = "") -> str:
    """The fault that tells most about a table of keys: ``options.scopes[0]: Input should be ...``.
    A key that does not exist comes first: it may be another one, misspelt, that is missing."""
    faults = error.errors(include_url=False)
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    outer, *inner = first["loc"]
    key = f"{table}{outer}{''.join(f'[{part}]' for part in inner)}"
    if first["type"] == "extra_forbidden":
        return f"{key}: no such key; there are {', '.join(known.model_fields)}"
    if first["type"] == "missing":
        return f"has no {key!r}"
    return f"{key}: {first['msg'].removeprefix('Value error, ')}"


def _is_type(value: str) -> str:
    if value not in TYPES:
        raise ValueError(f"{value!r} is none of {', '.join(TYPES)}")
    return value


def _is_prefix(value: str) -> str:
    scheme = scheme_named(value)
    if scheme is None:
        raise ValueError(f"{value!r} is the prefix of no scheme that is known")
    return scheme


def _is_id(value: str) -> str:
    found = parse(value)
    if found is None:
        raise ValueError(f"{value!r} is no id of a known scheme")
    return found


def _is_language(value: str) -> str:
    if not langcodes.tag_is_valid(value):
        raise ValueError(f"{value!r} is no language in BCP 47")
    return langcodes.standardize_tag(value)


TypeName = Annotated[str, AfterValidator(_is_type)]
Prefix = Annotated[str, AfterValidator(_is_prefix)]
ConceptId = Annotated[str, AfterValidator(_is_id)]
Language = Annotated[str, AfterValidator(_is_language)]
