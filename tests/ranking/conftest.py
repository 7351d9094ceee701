"""The real Qwen3 tokenizer, and candidates to rank."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer

from bioelx.ranking.prompt import PromptBuilder
from bioelx.types import Candidate, Concept, Name

Candidates = Callable[..., Candidate]


@pytest.fixture(scope="session")
def tokenizer(tokenizer_json: str) -> Tokenizer:
    return Tokenizer.from_str(tokenizer_json)


@pytest.fixture(scope="session")
def builder(tokenizer: Tokenizer) -> PromptBuilder:
    return PromptBuilder(tokenizer)


@pytest.fixture(scope="session")
def candidate() -> Candidates:
    def make(
        label: str = "myocardial infarction",
        *,
        matched: str = "Herzinfarkt",
        names: tuple[str, ...] = ("Infarkt",),
        types: tuple[str, ...] = ("disease",),
        description: str = "interruption of cardiac blood supply",
    ) -> Candidate:
        return Candidate(
            concept=Concept("wikidata:Q12152", label, description, types),
            matched=Name(matched, "de", "alias", "wikidata"),
            exact=False,
            retrieval_score=0.9,
            retrieval_rank=1,
            label="心筋梗塞",
            label_language="ja",
            names=names,
        )

    return make
