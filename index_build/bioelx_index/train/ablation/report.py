"""The table, as Markdown, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import orjson

matplotlib.use("agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bioelx.cli.page import COLOURS, plot_style
from bioelx_eval.metrics import Bools, Floats, Outcomes, recall
from bioelx_index.train.ablation.lines import Line
from bioelx_index.train.ablation.trial import DEPTH, Answers, Questions
from bioelx_index.train.heldout import AT as HELD_OUT_AT
from bioelx_index.train.settings import TrainSettings

AT = (1, 5, DEPTH)
ENGLISH = "en"
_SURE = 1.96  # standard errors to either side: 95 %


@dataclass(frozen=True)
class Result:
    """What a line answered."""

    line: Line
    training: TrainSettings | None
    answers: Answers


class Difference(NamedTuple):
    """Of two lines' recall, the mean over languages, and how far chance may carry it.

    `chance` is half of a 95 % interval over the mentions of each language, which says nothing of
    what another seed would train.
    """

    value: float
    chance: float


@dataclass(frozen=True)
class Scores:
    """Recalls of answers to the same mentions."""

    languages: npt.NDArray[np.str_]
    """Of each mention."""
    untaught: Bools
    """Mentions that no training draws."""

    @classmethod
    def of(cls, questions: Questions) -> Scores:
        mentions = questions.mentions
        return cls(
            np.array([mention.language for mention in mentions]),
            np.array([not mention.taught for mention in mentions], bool),
        )

    @cached_property
    def order(self) -> list[str]:
        """The languages, as the mentions come."""
        return list(dict.fromkeys(self.languages.tolist()))

    @cached_property
    def others(self) -> list[str]:
        """All languages but English."""
        return [language for language in self.order if language != ENGLISH]

    def by_language(self, answers: Answers, k: int, *, untaught: bool = False) -> dict[str, float]:
        """R@k of each language that has a mention, in percent."""
        found = self._found(answers, k)
        return {
            language: 100 * float(found[rows].mean()) for language, rows in self._rows(untaught)
        }

    def macro(self, answers: Answers, k: int, *, untaught: bool = False) -> float:
        return float(np.mean(list(self.by_language(answers, k, untaught=untaught).values())))

    def difference(
        self,
        answers: Answers,
        other: Answers,
        k: int,
        languages: Sequence[str],
        *,
        untaught: bool = False,
    ) -> Difference:
        """The recall of `answers` less that of `other`, over the same mentions."""
        gained = 100 * (self._found(answers, k) - self._found(other, k))
        of = [gained[rows] for language, rows in self._rows(untaught) if language in languages]
        spread = sum(each.var() / len(each) for each in of) ** 0.5 / len(of)
        return Difference(float(np.mean([each.mean() for each in of])), float(_SURE * spread))

    def _rows(self, untaught: bool) -> Iterator[tuple[str, Bools]]:
        for language in self.order:
            rows = self.languages == language
            if untaught:
                rows &= self.untaught
            if rows.any():
                yield language, rows

    def _found(self, answers: Answers, k: int) -> Floats:
        ranks = np.array(answers.ranks, np.int32)
        no, nothing = np.zeros(len(ranks), bool), np.zeros(len(ranks))
        # A recall looks at ranks alone.
        return recall(k).addends(Outcomes(ranks, no, no, nothing))[:, 0]


def write_report(results: Sequence[Result], questions: Questions, out: Path) -> None:
    """Writes ablation.md, ablation.json and ablation.png."""
    scores = Scores.of(questions)
    text = "\n\n".join(_sections(results, questions, scores)) + "\n"
    (out / "ablation.md").write_text(text, encoding="utf-8")
    said = _as_json(results, questions, scores)
    (out / "ablation.json").write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    with plot_style():
        _picture(results, scores).savefig(out / "ablation.png", dpi=130, facecolor="white")


# In words


def _sections(results: Sequence[Result], questions: Questions, scores: Scores) -> Iterator[str]:
    kb, trial = questions.knowledge_base, questions.held_out
    mentions, untaught = len(scores.untaught), int(scores.untaught.sum())
    yield (
        f"One knowledge base for all lines: {len(questions.names):,} distinct names of "
        f"{kb.concept_count:,} concepts with a UMLS id; every name is compared. Percent. XL-BEL: "
        f"{mentions:,} mentions, of which {untaught:,} are no name that a training draws "
        f'("not taught"); means over {len(scores.order)} languages. Held-out names: '
        f"{len(trial.held_out):,} in {len(held_out_languages(results))} languages, to be found "
        f"among {len(trial.candidates):,} names of which they are none."
    )
    yield _table(
        ["", *(f"R@{k}" for k in AT), "R@1 without English", *(f"not taught R@{k}" for k in AT),
         *(f"held out R@{k}" for k in HELD_OUT_AT)],
        (_summary(each, scores) for each in results),
    )  # fmt: skip
    yield "Differences of R@1, with 95 % intervals over the mentions (not over seeds):"
    yield _table(
        ["", "less", "all languages", "without English", "not taught", "held out"],
        (_compared(each, other, scores) for each, other in pairs(results)),
    )
    for k in AT:
        yield f"R@{k} by language, overlap included:"
        yield _table(
            ["", *scores.order],
            ([_named(each), *_figures(scores.by_language(each.answers, k).values())]
             for each in results),
        )  # fmt: skip
    counts = [int((scores.untaught & (scores.languages == each)).sum()) for each in scores.order]
    heads = [f"{each} ({count})" for each, count in zip(scores.order, counts, strict=True)]
    for k in AT:
        yield f"R@{k} by language, mentions that are not taught (how many in brackets):"
        yield _table(["", *heads], (_untaught(each, k, scores) for each in results))
    languages = held_out_languages(results)
    for k in HELD_OUT_AT:
        yield f"R@{k} of held-out names by language:"
        yield _table(
            ["", *languages],
            ([_named(each), *_figures(_held_out(each, k, language) for language in languages)]
             for each in results),
        )  # fmt: skip


def _summary(result: Result, scores: Scores) -> list[str]:
    answers = result.answers
    first = scores.by_language(answers, 1)
    return [
        _named(result),
        *_figures(scores.macro(answers, k) for k in AT),
        *_figures([float(np.mean([first[each] for each in scores.others]))]),
        *_figures(scores.macro(answers, k, untaught=True) for k in AT),
        *_figures(_held_out(result, k) for k in HELD_OUT_AT),
    ]


def _compared(result: Result, other: Result, scores: Scores) -> list[str]:
    differences = _differences(result, other, scores)
    return [
        _named(result),
        _named(other),
        *(f"{each.value:+.1f} ± {each.chance:.1f}" for each in differences.values()),
        f"{_held_out(result, 1) - _held_out(other, 1):+.1f}",
    ]


def _untaught(result: Result, k: int, scores: Scores) -> list[str]:
    found = scores.by_language(result.answers, k, untaught=True)
    return [_named(result), *(f"{found[e]:.1f}" if e in found else "–" for e in scores.order)]


def _named(result: Result) -> str:
    return result.line.title.replace("|", r"\|")


def _figures(values: Any) -> list[str]:
    return [f"{value:.1f}" for value in values]


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _held_out(result: Result, k: int, language: str = "") -> float:
    key = f"held_out_{language}_recall_at_{k}" if language else f"held_out_recall_at_{k}"
    return 100 * result.answers.held_out[key]


def held_out_languages(results: Sequence[Result]) -> list[str]:
    keys = results[0].answers.held_out
    return sorted(key.split("_")[2] for key in keys if key.endswith("at_1") and key.count("_") == 5)


def pairs(results: Sequence[Result]) -> list[tuple[Result, Result]]:
    """Lines with those that they are compared with."""
    by_title = {each.line.title: each for each in results}
    return [(each, by_title[each.line.against]) for each in results if each.line.against]


def _differences(result: Result, other: Result, scores: Scores) -> dict[str, Difference]:
    both = result.answers, other.answers
    return {
        "R@1": scores.difference(*both, 1, scores.order),
        "R@1_without_english": scores.difference(*both, 1, scores.others),
        "R@1_not_taught": scores.difference(*both, 1, scores.order, untaught=True),
    }


# As data


def _as_json(results: Sequence[Result], questions: Questions, scores: Scores) -> dict[str, Any]:
    return {
        "questions": {
            "fingerprint": questions.fingerprint,
            "concepts": questions.knowledge_base.concept_count,
            "names": len(questions.names),
            "mentions": len(questions.mentions),
            "not_taught": int(scores.untaught.sum()),
            "held_out": len(questions.held_out.held_out),
            "held_out_among": len(questions.held_out.candidates),
        },
        "lines": [_line_as_json(each, scores) for each in results],
        "differences": [_compared_as_json(*both, scores) for both in pairs(results)],
    }


def _compared_as_json(result: Result, other: Result, scores: Scores) -> dict[str, Any]:
    differences = _differences(result, other, scores)
    said = {name: each._asdict() for name, each in differences.items()}
    return {"line": result.line.title, "less": other.line.title, **said}


def _line_as_json(result: Result, scores: Scores) -> dict[str, Any]:
    def recalls(*, untaught: bool) -> dict[str, Any]:
        return {
            f"R@{k}": {
                "macro": scores.macro(result.answers, k, untaught=untaught),
                **scores.by_language(result.answers, k, untaught=untaught),
            }
            for k in AT
        }

    return {
        **result.line.model_dump(mode="json", exclude_none=True),
        "training": result.training.model_dump(mode="json") if result.training else None,
        "overlap_included": recalls(untaught=False),
        "not_taught": recalls(untaught=True),
        "held_out": {key: 100 * value for key, value in result.answers.held_out.items()},
    }


# As a picture


def _picture(results: Sequence[Result], scores: Scores) -> Figure:
    """Left, bars of each line's means; right, its recall by language as shades with figures."""
    figure = Figure(figsize=(14, 1.6 + 0.42 * len(results)), layout="constrained")
    means, languages = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    _draw_means(means, results, scores)
    _draw_languages(languages, results, scores)
    handles, labels = means.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4)
    figure.suptitle("What each line finds first", x=0.01, ha="left", fontsize=12)
    return figure


def _draw_means(axes: Axes, results: Sequence[Result], scores: Scores) -> None:
    places = np.arange(len(results))
    all_rows = [scores.macro(each.answers, 1) for each in results]
    untaught = [scores.macro(each.answers, 1, untaught=True) for each in results]
    deep = [scores.macro(each.answers, DEPTH) for each in results]
    axes.barh(places, all_rows, 0.62, color=COLOURS[0], label="XL-BEL, R@1")
    axes.barh(places, untaught, 0.28, color="#bcd0ee", label="… mentions that are not taught, R@1")
    axes.plot(deep, places, "|", color=COLOURS[0], ms=15, mew=2.5, label=f"XL-BEL, R@{DEPTH}")
    held_out = [_held_out(each, 1) for each in results]
    axes.plot(held_out, places, "D", color=COLOURS[1], ms=6, label="held-out names, R@1")
    for place, value in [(-0.75, "R@1"), *enumerate(f"{each:.1f}" for each in all_rows)]:
        axes.text(99.5, place, value, ha="right", va="center", size=8.5, color=COLOURS[0])
    axes.set_yticks(places, [each.line.title for each in results])
    axes.invert_yaxis()
    axes.set(xlabel="percent, mean over languages", xlim=(0, 100))
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(10))


def _draw_languages(axes: Axes, results: Sequence[Result], scores: Scores) -> None:
    columns = [scores.by_language(each.answers, 1) for each in results]
    shades = np.array([list(each.values()) for each in columns])
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (line, column), value in np.ndenumerate(shades):
        colour = "white" if value > 55 else "#1c2430"
        axes.text(column, line, f"{value:.0f}", ha="center", va="center", color=colour, size=8.5)
    axes.set_xticks(range(len(scores.order)), scores.order)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelleft=False)
    axes.grid(visible=False)
    axes.set_xlabel("XL-BEL, R@1 by language, overlap included")
