"""Draws the names of each step, so that no language and no source of names drowns another.

SapBERT (Liu et al. 2021) goes through all pairs of synonyms; here they are drawn, since English
chemicals outnumber Korean diseases by a hundred to one. What a step draws depends on the seed and
the step alone, so that a resumed training draws what the undisturbed one would have drawn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioelx.errors import BioelxError
from bioelx.kb.normalise import normalise
from bioelx_index.perturb import perturb
from bioelx_index.train.latin import in_latin
from bioelx_index.train.names import Int64, Names
from bioelx_index.train.settings import TrainSettings

_TRIES = 4  # partners looked at for one in another language


class Sampler:
    """Draws from the names of a knowledge base and, if given, from titles."""

    def __init__(self, names: Names, titles: Names | None, settings: TrainSettings) -> None:
        """Raises BioelxError if there is no pair to draw."""
        self.names = names + titles if titles is not None and len(titles) else names
        self._settings = settings
        self._order = np.argsort(self.names.concepts, kind="stable")
        self._start = np.searchsorted(self.names.concepts[self._order], self.names.concepts)
        self._place = np.empty(len(self._order), np.int64)  # of each row among its concept's names
        self._place[self._order] = np.arange(len(self._order))
        self._place -= self._start
        siblings = np.bincount(self.names.concepts, minlength=1)
        self._count = siblings[self.names.concepts]
        is_title = np.arange(len(self.names)) >= len(names)
        paired = self._count > 1
        self._paired = self._pool(paired & ~is_title)
        self._titles = self._pool(paired & is_title)
        self._all = self._pool(~is_title)
        if not len(self._paired):
            raise BioelxError("no concept has two names to learn from")

    def _pool(self, wanted: npt.NDArray[np.bool_]) -> _Pool:
        return _Pool(np.flatnonzero(wanted), self.names.languages, self._settings.balance)

    def names_of(self, step: int) -> tuple[list[str], Int64]:
        """The names of a step, some perturbed, and the concept of each, int64 [batch]."""
        rng = np.random.default_rng((self._settings.seed, step))
        titles = self._shares(self._settings.batch, rng)[0]
        names = self._all.draw(self._settings.batch - titles, rng)
        rows = np.concatenate([names, self._titles.draw(titles, rng)])
        # Titles have mistakes as often as names: they show how more words and languages inflect.
        wrong = rng.random(len(rows)) < self._settings.perturbed
        texts: list[str] = self.names.texts[rows].tolist()
        for at in np.flatnonzero(wrong):
            texts[at] = self._perturbed(int(rows[at]), rng)
        return texts, self.names.concepts[rows]

    def pairs_of(self, step: int) -> tuple[list[str], Int64]:
        """The names of a step, partners side by side, and the concept of each, int64 [batch]."""
        rng = np.random.default_rng((self._settings.seed, step))
        titles, perturbed, others = self._shares(self._settings.batch // 2, rng)
        rows = np.concatenate([self._paired.draw(others, rng), self._titles.draw(titles, rng)])
        couples = np.stack([rows, self._partners(rows, rng)], 1).ravel()
        alone = self._all.draw(perturbed, rng)
        texts: list[str] = self.names.texts[couples].tolist()
        for row in alone:
            texts += [self.names.texts[row], self._perturbed(int(row), rng)]
        return texts, np.repeat(self.names.concepts[np.concatenate([rows, alone])], 2)

    def _shares(self, draws: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """How many draws are titles, perturbed names, and names as they are."""
        titles = rng.binomial(draws, self._settings.titles_share) if len(self._titles) else 0
        perturbed = rng.binomial(draws - titles, self._settings.perturbed)
        return int(titles), int(perturbed), int(draws - titles - perturbed)

    def _partners(self, rows: Int64, rng: np.random.Generator) -> Int64:
        """Another name for each row: of the first few drawn one in another language, if any is."""
        start, count = self._start[rows], self._count[rows]
        # 1 to count - 1 steps on from one's own place: never oneself.
        steps = rng.integers(1, count[:, None], (len(rows), _TRIES))
        drawn = self._order[start[:, None] + (self._place[rows][:, None] + steps) % count[:, None]]
        if not self._settings.cross_lingual:
            return drawn[:, 0]
        foreign = self.names.languages[drawn] != self.names.languages[rows][:, None]
        return drawn[np.arange(len(rows)), foreign.argmax(1)]

    def _perturbed(self, row: int, rng: np.random.Generator) -> str:
        name, language = self.names.texts[row], self.names.languages[row]
        others = (in_latin,) if self._settings.transliterated else ()
        return normalise(perturb(name, language, rng, others))


class _Pool:
    """Rows to draw from, a language by its number of rows to the power of `balance`."""

    def __init__(self, rows: Int64, languages: npt.NDArray[np.object_], balance: float) -> None:
        self._rows = rows
        _, codes, counts = np.unique(
            languages[rows].astype(str), return_inverse=True, return_counts=True
        )
        weights = (counts**balance / counts)[codes] if len(rows) else np.empty(0)
        self._cumulative = np.cumsum(weights)

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, count: int, rng: np.random.Generator) -> Int64:
        if not count or not len(self._rows):
            return np.empty(0, np.int64)
        at = np.searchsorted(
            self._cumulative, rng.random(count) * self._cumulative[-1], side="right"
        )
        return self._rows[at.clip(max=len(self._rows) - 1)]
