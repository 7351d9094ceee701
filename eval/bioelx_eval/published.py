"""Figures that papers state for the benchmarks, kept with their source in `published.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files

from bioelx_eval.datasets import Dataset


@dataclass(frozen=True, slots=True)
class Published:
    """What a paper states of a system on one dataset."""

    name: str
    source: str
    knowledge_base: str
    """In which the system looked: scores on another one are no like measurement."""
    scores: Mapping[str, Mapping[str, float]]
    """By metric, then by group or `macro`; in percent, over all rows."""


def published_on(dataset: Dataset, groups: Collection[str]) -> list[Published]:
    """What can stand beside scores of these groups of a dataset, in the order of the file.

    A mean over all groups is left out where these are not all.
    """
    columns = {*groups, *({"macro"} if dataset.groups.keys() <= set(groups) else ())}
    content = tomllib.loads(files("bioelx_eval").joinpath("published.toml").read_text("utf-8"))
    found = []
    for system in content["system"]:
        stated = {
            metric: {column: figure for column, figure in figures.items() if column in columns}
            for metric, figures in system["scores"].get(dataset.name, {}).items()
        }
        if any(stated.values()):
            found.append(
                Published(system["name"], system["source"], system["knowledge_base"], stated)
            )
    return found
