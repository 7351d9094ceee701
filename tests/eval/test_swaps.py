"""`bioelx eval swaps`: swaps of a real server under load, at tiny size."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bioelx.linker import Linker
from bioelx.types import Query
from bioelx_eval.cli import app
from bioelx_eval.speed.swaps import SwapSettings, are_all_of, measure_swaps
from bioelx_eval.speed.twin import twin_of

PREFIXES = {"one": "", "other": "twin."}


@pytest.mark.parametrize(
    ("concepts", "release", "expected"),
    [
        (["hp:1", "hp:2"], "one", True),
        (["twin.hp:1", "twin.hp:2"], "other", True),
        (["hp:1", "twin.hp:2"], "one", False),
        (["hp:1", "twin.hp:2"], "other", False),
        (["hp:1"], "other", False),
        ([], "one", False),
    ],
)
def test_a_mixed_reply_is_told(concepts: list[str], release: str, expected: bool) -> None:
    assert are_all_of(concepts, release, PREFIXES) is expected


def test_a_twin_differs_in_its_ids_only(tiny_release: Path, tmp_path: Path) -> None:
    twin = Linker.open(twin_of(tiny_release, tmp_path, "twin."), threads=1)
    one = Linker.open(tiny_release, threads=1)
    queries = [Query.bare("flue"), Query.bare("頭痛", "ja"), Query.bare("mi", "en")]
    for own, other in zip(one.link(queries).links, twin.link(queries).links, strict=True):
        assert [f"twin.{c.concept.concept_id}" for c in own.candidates] == [
            c.concept.concept_id for c in other.candidates
        ]
        assert [c.probability for c in own.candidates] == [c.probability for c in other.candidates]
    kb = twin.knowledge_base
    successors = {c.replaced_by for c in kb.concepts(range(kb.concept_count)) if c.replaced_by}
    assert "twin.wikidata:Q2840" in successors
    assert all(successor.startswith("twin.") for successor in successors)


def test_a_few_swaps_under_load_and_what_is_said_of_them(tiny_release: Path) -> None:
    arguments = ["swaps", "--release", str(tiny_release), "--swaps", "3", "--threads", "1"]
    done = CliRunner().invoke(app, [*arguments, "--calm", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.stdout
    assert "0 failed, 0 mixed; 3 swaps: 1 by call" in done.stdout
    rows = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert {"link", "search", "concept", "stream", "resident", "proportional"} <= rows


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("keep_loaded", [0, 1])
def test_fifty_swaps_under_load_fail_no_call_mix_no_reply_and_leave_no_memory(
    tiny_release: Path, keep_loaded: int
) -> None:
    settings = SwapSettings(
        str(tiny_release), pause=0.02, calm=1, settle=0.1, threads=1, keep_loaded=keep_loaded
    )
    measured = measure_swaps(settings)
    assert measured.failures == []
    assert measured.mixed == 0
    assert len(measured.swaps) == 50
    assert {swap.way for swap in measured.swaps} == {"call", "pointer", "rollback"}
    for method in ("link", "search", "concept", "stream"):
        releases = {call.release for call in measured.calls if call.method == method}
        assert len(releases) == 2
    assert measured.growth(lambda memory: memory.resident) < 1.1
    assert measured.growth(lambda memory: memory.proportional) < 1.1
