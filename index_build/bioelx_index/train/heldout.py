"""How well an encoder finds the concepts of names that it was never told.

    python -m bioelx_index.train.heldout --encoder A --encoder B

prints a table of encoders, by the names that none of them was told of (their `held_out.txt`), or
else those that `bioelx train encoder` would hold out of a release; by the same with mistakes
(mistyped, inflected, in another order); and by names that can be found, with mistakes: what a
training may make an encoder blind to. With `--titles`, also by general titles of things in few
languages, which trainings do not draw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import typer
from scipy.sparse import csr_matrix, issparse

from bioelx.encoding import open_encoder
from bioelx.encoding.encoder import read_held_out
from bioelx.kb import normalise
from bioelx.release import find_release
from bioelx_index.perturb import perturb
from bioelx_index.train.names import (
    Int64,
    Names,
    hold_out,
    hold_out_texts,
    read_names,
    read_titles,
    widest,
)
from bioelx_index.train.settings import LANGUAGES, TrainSettings

FOUND = "held_out_recall_at_1"
DISTRACTORS = 4000  # concepts beside those of the held-out names
NAMES_EACH = 3  # of a concept that can be found
AT = (1, 5)
KNOWN_EACH = 60  # names of a language that can be found, asked for with mistakes
TITLES, TITLES_EACH = 6000, 100  # English ones to be found, and asked for in another language
_AT_ONCE = 256  # queries compared with every name: 4 bytes a pair

Vectors: TypeAlias = npt.NDArray[np.float32] | csr_matrix


@dataclass(frozen=True)
class Trial:
    """Held-out names, and a part of the knowledge base to find their concepts in."""

    held_out: Names
    candidates: Names


def make_trial(held_out: Names, rest: Names, rng: np.random.Generator) -> Trial:
    """The concepts of the held-out names and some others, with a few names each of the rest."""
    others = np.setdiff1d(rest.concepts, held_out.concepts)
    others = rng.choice(others, min(DISTRACTORS, len(others)), replace=False)
    rows = np.flatnonzero(np.isin(rest.concepts, np.concatenate([held_out.concepts, others])))
    rows = rng.permutation(rows)
    rows = rows[np.argsort(rest.concepts[rows], kind="stable")]
    _, starts, counts = np.unique(rest.concepts[rows], return_index=True, return_counts=True)
    place = np.arange(len(rows)) - np.repeat(starts, counts)
    return Trial(held_out, rest.take(rows[place < NAMES_EACH]))


def read_trial(
    tables: Path, settings: TrainSettings, told_nothing_of: Collection[str] = ()
) -> tuple[Names, Names, Trial]:
    """All names, those left to learn from, in all languages, and the trial that a training with
    these settings is judged by.

    Args:
        told_nothing_of: hold out these names, those of an encoder that is to be asked or trained
            on: from other tables than its own, others would be drawn, which it has learnt.

    Raises:
        FileError: `tables` does not hold a release's names.
    """
    rng = np.random.default_rng(settings.seed)
    names = read_names(tables, settings.longest)
    if told_nothing_of:
        rest, held_out = hold_out_texts(names, told_nothing_of)
    else:
        rest, held_out = hold_out(names, settings.held_out, rng)
    return names, rest, make_trial(held_out, rest, rng)


def untold(folders: Iterable[Path]) -> set[str]:
    """The names that none of some encoders or models has been told of, of those that say so."""
    lists = [set(held_out) for folder in folders if (held_out := read_held_out(folder))]
    return set.intersection(*lists) if lists else set()


def mistaken(trial: Trial, rng: np.random.Generator) -> dict[str, Trial]:
    """The trial with mistakes in its names, and one of known names with mistakes."""
    known = [
        rng.permutation(np.flatnonzero(trial.candidates.languages == language))[:KNOWN_EACH]
        for language in LANGUAGES
    ]
    asked = trial.candidates.take(np.concatenate(known))
    return {
        "held out, mistaken": replace(trial, held_out=_with_mistakes(trial.held_out, rng)),
        "known, mistaken": replace(trial, held_out=_with_mistakes(asked, rng)),
    }


def _with_mistakes(names: Names, rng: np.random.Generator) -> Names:
    pairs = zip(names.texts, names.languages, strict=True)
    texts = [normalise(perturb(text, language, rng)) or text for text, language in pairs]
    return replace(names, texts=np.array(texts, object))


def title_trial(path: Path, names: Names, drawn_items: int, rng: np.random.Generator) -> Trial:
    """Titles in LANGUAGES of things beyond the `drawn_items` with most languages, to be found among
    English titles of such things.

    Raises:
        FileError: the file is missing or has no columns item, lang, title.
    """
    longest = TrainSettings().longest
    titles = read_titles(path, names, np.iinfo(np.int32).max, longest)
    titles = titles.take(~np.isin(titles.concepts, widest(titles, drawn_items)))
    english = titles.take(titles.languages == "en")
    candidates = english.take(rng.permutation(len(english))[:TITLES])
    same = set(zip(candidates.concepts.tolist(), candidates.texts, strict=True))
    pairs = zip(titles.concepts.tolist(), titles.texts, strict=True)
    differ = np.array([pair not in same for pair in pairs], bool)
    differ &= np.isin(titles.concepts, candidates.concepts) & (titles.languages != "en")
    asked = [
        rng.permutation(np.flatnonzero(differ & (titles.languages == language)))[:TITLES_EACH]
        for language in LANGUAGES
    ]
    return Trial(titles.take(np.concatenate(asked)), candidates)


def held_out_file(texts: Iterable[str]) -> bytes:
    """What stands beside an encoder, so that others can judge by the same names."""
    return "".join(f"{text}\n" for text in sorted(set(texts))).encode()


def recalls(trial: Trial, held_out: Vectors, candidates: Vectors) -> dict[str, float]:
    """Recall at 1 and 5 by language, and on the mean over languages.

    Args:
        held_out, candidates: unit vectors of the trial's names, float32 [names, dimension].
    """
    nearest = nearest_concepts(held_out, candidates, trial.candidates.concepts, max(AT))
    right = nearest == trial.held_out.concepts[:, None]
    languages = trial.held_out.languages.astype(str)
    scores = {}
    for at in AT:
        found = right[:, :at].any(1)
        of = {lang: float(found[languages == lang].mean()) for lang in np.unique(languages)}
        scores[f"held_out_recall_at_{at}"] = float(np.mean(list(of.values())))
        scores |= {f"held_out_{lang}_recall_at_{at}": recall for lang, recall in of.items()}
    return scores


def nearest_concepts(queries: Vectors, candidates: Vectors, concepts: Int64, count: int) -> Int64:
    """The nearest concepts of each query by their best names, int64 [queries, count]; -1 where
    there are fewer.

    Args:
        candidates: unit vectors of names, float32 [names, dimension].
        concepts: of the names, [names].
    """
    found = np.full((queries.shape[0], count), -1, np.int64)
    names, _ = nearest_names(queries, candidates, count * (NAMES_EACH + 1))
    for row, near in enumerate(names):
        distinct = list(dict.fromkeys(concepts[near[near >= 0]].tolist()))[:count]
        found[row, : len(distinct)] = distinct
    return found


def nearest_names(
    queries: Vectors, names: Vectors, count: int
) -> tuple[Int64, npt.NDArray[np.float32]]:
    """The rows of the names nearest to each query, best first, and their cosines: [queries,
    count], or less if there are less names. -1 stands for a name that has nothing in common with
    the query, which only sparse vectors can tell.

    Args:
        queries, names: unit vectors, float32 [n, dimension], both dense or both sparse.
    """
    count = min(count, names.shape[0])
    rows = np.empty((queries.shape[0], count), np.int64)
    cosines = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        scores: Any = queries[part] @ names.T
        if issparse(scores):
            scores = scores.toarray()
            scores[scores == 0] = -np.inf
        top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(scores, top, 1)
        order = np.argsort(-found, axis=1, kind="stable")
        cosines[part] = np.take_along_axis(found, order, 1)
        rows[part] = np.take_along_axis(top, order, 1)
    rows[np.isneginf(cosines)] = -1
    return rows, cosines


def main(
    encoder: Annotated[list[Path], typer.Option(help="Folder with encoder.json; may be repeated.")],
    release: Annotated[str, typer.Option(help="Default: the active one.")] = "",
    titles: Annotated[
        Path | None, typer.Option(help="Parquet of general titles: item, lang, title.")
    ] = None,
    titles_items: Annotated[
        int, typer.Option(help="Things whose titles the trainings have drawn, those with most.")
    ] = 150_000,
) -> None:
    """Print recall at 1 and 5 of encoders on held-out names, and on mistaken ones, by language."""
    settings = TrainSettings()
    names, _, trial = read_trial(find_release(release), settings, untold(encoder))
    trials = {"held out": trial, **mistaken(trial, np.random.default_rng(settings.seed))}
    if titles:
        rng = np.random.default_rng(settings.seed)
        trials["titles"] = title_trial(titles, names, titles_items, rng)
    languages = np.unique(trial.held_out.languages.astype(str)).tolist()
    typer.echo(f"{len(trial.held_out):,} names, to be found among {len(trial.candidates):,}")
    typer.echo("| encoder | names | R@ | mean | " + " | ".join(languages) + " |")
    typer.echo("|---|---|---|" + "--:|" * (1 + len(languages)))
    for folder in encoder:
        opened = open_encoder(folder)
        vectors: dict[int, Vectors] = {}
        for what, each in trials.items():
            candidates = each.candidates
            if id(candidates) not in vectors:  # most trials have the same
                vectors[id(candidates)] = opened.encode(candidates.texts.tolist())
            asked = opened.encode(each.held_out.texts.tolist())
            scores = recalls(each, asked, vectors[id(candidates)])
            for at in AT:
                keys = ["", *(f"{language}_" for language in languages)]
                found = (scores.get(f"held_out_{key}recall_at_{at}") for key in keys)
                cells = " | ".join(
                    "–" if share is None else f"{100 * share:.1f}" for share in found
                )
                typer.echo(f"| {opened.card.name} | {what} | {at} | {cells} |")


if __name__ == "__main__":
    typer.run(main)
