"""Figures that papers state for the benchmarks, kept with their source in `published.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Published:
    """What a paper states of a system on one dataset."""

    name: str
    source: str
    knowledge_base: str
    """In which the system looked: scores on another one are no like measurement."""
    scores: Mapping[str, Mapping[str, float]]
    """By metric, then by group or `macro`; in percent, over all rows."""


@cache
def published_on(dataset: str) -> tuple[Published, ...]:
    """The systems with figures on this dataset, the best known first as the file lists them."""
    content = tomllib.loads(files("bioelx_eval").joinpath("published.toml").read_text("utf-8"))
    return tuple(
        Published(system["name"], system["source"], system["knowledge_base"], scores)
        for system in content["system"]
        if (scores := system["scores"].get(dataset))
    )
