"""The model card of a trained ranker: what it is, what it learnt from, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bioelx.release import read_manifest
from bioelx_eval.datasets import DATASETS
from bioelx_index.train.ranker.judge import AFTER, BEFORE, GAIN
from bioelx_index.train.ranker.mentions import CORPUS
from bioelx_index.train.ranker.settings import RankerSettings

FILE = "README.md"


def write_model_card(
    folder: Path,
    release: Path,
    settings: RankerSettings,
    base: str,
    scores: Mapping[str, float],
    size: int,
) -> None:
    """Writes README.md beside the model.

    Args:
        release: that it was trained on.
        base: as the card names it.
        scores: as `judge` gives, of what is exported.
        size: of its files, in bytes.
    """
    lines = [
        f"# {settings.name}",
        "",
        f"A cross-encoder that weighs the candidates of a biomedical mention in its context: int8, "
        f"{size / 1e6:.1f} MB, {settings.layers} layers, made from {base}. It reads up to "
        f"{settings.window_tokens} pieces of the window and {settings.candidate_tokens} of a "
        "candidate. Its log-odds are meant to be added to those of retrieval.",
        "",
        "    bioelx serve --ranker FOLDER",
        "",
        "## Learnt from",
        "",
        *_sources(release, settings),
        "",
        "## Held-out mentions, R@1 where a right candidate was found",
        "",
        *_scores(scores),
        "",
        "## Settings",
        "",
        "    bioelx train ranker --config ranker.toml",
        "",
        *(f"    {line}" for line in _settings(settings)),
        "",
    ]
    (folder / FILE).write_text("\n".join(lines), encoding="utf-8")


def _sources(release: Path, settings: RankerSettings) -> list[str]:
    manifest = read_manifest(release)
    lines = [
        f"Names and descriptions of release {manifest.id}, whose index proposed the candidates:",
        "",
        "| source | snapshot | licence |",
        "|---|---|---|",
        *(f"| {each.name} | {each.snapshot} | {each.licence} |" for each in manifest.sources),
    ]
    if settings.passages:
        lines += [
            "",
            "Definitions in other languages: Wikidata's descriptions (CC0), translations of the "
            "Human Phenotype Ontology (its own licence) and of the Disease Ontology (CC0).",
        ]
    if settings.bc5cdr:
        corpus = DATASETS[CORPUS]
        lines += [
            "",
            f"{corpus.title} ({corpus.licence}), {corpus.origin}; its test part was not read.",
        ]
    return lines


def _scores(scores: Mapping[str, float]) -> list[str]:
    kinds = [name.removesuffix(f"_{BEFORE}") for name in scores if name.endswith(BEFORE)]
    lines = ["| mentions | retrieval alone | with the ranker |", "|---|--:|--:|"]
    for kind in kinds:
        before, after = scores[f"{kind}_{BEFORE}"], scores[f"{kind}_{AFTER}"]
        lines.append(f"| {kind.replace('_', ' ')} | {100 * before:.1f} | {100 * after:.1f} |")
    return [*lines, "", f"Mean gain: {100 * scores[GAIN]:.1f} points."]


def _settings(settings: RankerSettings) -> list[str]:
    """What differs from the defaults, without paths of the machine that trained."""
    said = settings.model_dump(exclude_defaults=True, mode="json")
    paths = ("base", "encoder", "passages", "bc5cdr")
    return [
        f"{key} = {Path(value).name if key in paths else value!r}" for key, value in said.items()
    ] or ["(the defaults)"]
