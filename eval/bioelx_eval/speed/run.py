"""The journey of a measurement: release -> mentions -> systems -> rounds -> figures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bioelx.kb import KnowledgeBase
from bioelx.release import find_release, read_manifest
from bioelx_eval.datasets import Dataset
from bioelx_eval.speed.lineup import Entrants, started
from bioelx_eval.speed.measure import Results, measure
from bioelx_eval.speed.mentions import Mention, from_dataset, with_typing_errors
from bioelx_eval.speed.part import part_of
from bioelx_eval.speed.report import Setting

SEED = 20261124


@dataclass(frozen=True, slots=True)
class SpeedSettings:
    """What to measure."""

    release: str = ""
    dataset: Dataset | None = None
    """Whose mentions to link; None: names with a typing error."""
    data: Path = Path()
    """Where the dataset is."""
    names: int | None = None
    """Take a random part of the release's names, for all systems alike."""
    mentions: int = 64
    """In a round."""
    rounds: int = 20
    entrants: Entrants = field(default_factory=Entrants)


@dataclass(frozen=True, slots=True)
class Speed:
    """The figures, what they were taken on, and the systems that the others are compared with."""

    results: Results
    setting: Setting
    baselines: tuple[str, ...]


def measure_speed(
    settings: SpeedSettings,
    say: Callable[[str], None] = lambda doing: None,
    advance: Callable[[int, int], None] = lambda done, turns: None,
) -> Speed:
    """Starts all systems, lets them take turns, and stops them.

    Args:
        say: is told what is being prepared.
        advance: is told how many turns of how many are done.

    Raises:
        BioelxError: the release, the dataset or a model is not as it should be.
    """
    whole = release = find_release(settings.release)
    with tempfile.TemporaryDirectory(prefix="bioelx-speed-") as scratch:
        folder = Path(scratch)
        if settings.names:
            say(f"taking {settings.names:,} of the names")
            release = part_of(whole, settings.names, folder / "releases", SEED)
        kb = KnowledgeBase.open(release)
        mentions, described = _mentions(settings, kb)
        size = settings.mentions
        rounds = [mentions[at : at + size] for at in range(0, len(mentions), size)]
        with started(settings.entrants, release, kb, folder, say) as lineup:
            say("warming up")
            results = measure(lineup.systems, rounds, advance)
        manifest = read_manifest(release)
        setting = Setting(
            release=read_manifest(whole).id,
            encoder=manifest.encoder.name,
            index=manifest.index.factory,
            names=len(kb.texts),
            mentions=described,
            rounds=len(rounds),
            threads=settings.entrants.threads,
            vectors=lineup.vectors,
            left_out=tuple(lineup.left_out),
        )
    return Speed(results, setting, tuple(lineup.baselines))


def _mentions(settings: SpeedSettings, kb: KnowledgeBase) -> tuple[list[Mention], str]:
    """The mentions of all rounds, and what they are."""
    rng = Random(SEED)  # noqa: S311  (a sample, no secret)
    count = settings.mentions * settings.rounds
    if settings.dataset:
        mentions = from_dataset(settings.dataset, settings.data, kb, count, rng)
        return mentions, (
            f"{len(mentions):,} mentions of {settings.dataset.title} in their context, of those "
            "whose concept is there"
        )
    mentions = with_typing_errors(kb, count, rng)
    return mentions, f"{len(mentions):,} of these names, each with a typing error"
