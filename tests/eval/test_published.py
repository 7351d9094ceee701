"""The figures of papers: every one is of a dataset and a group that there is."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from bioelx_eval.datasets import DATASETS
from bioelx_eval.metrics import parse_metric
from bioelx_eval.published import published_on

SYSTEMS = tomllib.loads(files("bioelx_eval").joinpath("published.toml").read_text("utf-8"))


@pytest.mark.parametrize("system", SYSTEMS["system"], ids=lambda each: each["name"])
def test_figures_name_what_they_are_of(system: dict) -> None:
    assert system["source"]
    assert system["knowledge_base"]
    for dataset, by_metric in system["scores"].items():
        for metric, figures in by_metric.items():
            assert parse_metric(metric).name == metric
            assert figures.keys() <= {*DATASETS[dataset].groups, "macro"}
            assert all(0 < figure <= 100 for figure in figures.values())


def test_figures_that_can_stand_beside_scores() -> None:
    xlbel = DATASETS["xlbel"]
    best, *others = published_on(xlbel, list(xlbel.groups))
    assert (best.name, best.knowledge_base) == ("BioELX", "UMLS")
    assert best.scores == {"R@1": {"en": 91.0, "macro": 54.8}}
    assert all(set(each.scores["R@1"]) == {"macro"} for each in others)
    # A mean over ten languages does not stand beside one over two.
    (best,) = published_on(xlbel, ["en", "de"])
    assert best.scores == {"R@1": {"en": 91.0}}
    assert published_on(xlbel, ["de"]) == []
    assert published_on(DATASETS["bc5cdr"], ["Disease", "Chemical"]) == []
