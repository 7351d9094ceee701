"""The figures as a table for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.table import Table

from bioelx_eval.report.table import markdown_head, markdown_row, percent, write_markdown
from bioelx_eval.speed.measure import BATCHES, BUDGET_SECONDS, Results

SCHEMA = 1
JSON_FILE, MARKDOWN_FILE = "speed.json", "speed.md"
PACKAGES = ("onnxruntime", "faiss-cpu", "faiss-gpu", "torch", "sentence-transformers")
SHOWN = 0.05  # milliseconds a mention: a part that nowhere took more has no column
INSTRUCTIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8")
PARTS = ("encoding", "searching", "ranking", "overhead")


@dataclass(frozen=True, slots=True)
class Setting:
    """What was measured on what."""

    release: str
    encoder: str
    index: str
    names: int
    """Distinct names in the knowledge base."""
    mentions: str
    """What was linked, in words."""
    rounds: int
    threads: int
    """0: all cores."""
    vectors: str
    """Where those of the script come from, in words; empty where it did not run."""
    left_out: tuple[str, ...] = ()
    """What was not measured, each with the reason."""
    machine: str = field(default_factory=lambda: _processor())
    cores: int = field(default_factory=lambda: os.cpu_count() or 0)
    packages: dict[str, str] = field(default_factory=lambda: dict(_versions()))


def write_speed(results: Results, setting: Setting, baselines: Sequence[str], out: Path) -> None:
    """Writes `speed.json` and `speed.md` to the folder `out`.

    Args:
        baselines: titles of the systems that the others are compared with.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    content = {
        "schema": SCHEMA,
        **asdict(setting),
        "systems": {
            title: {size: _figures(results, title, size, baselines) for size in BATCHES}
            for title in results
        },
    }
    (out / JSON_FILE).write_bytes(orjson.dumps(content, option=options))
    lines = ["# Speed", ""]
    for paragraph in describe(setting):
        lines += [paragraph, ""]
    for head, rows in (_speed(results, baselines), _where(results)):
        lines += [*markdown_head(*head), *(markdown_row(*row) for row in rows), ""]
    write_markdown(out / MARKDOWN_FILE, lines[:-1])


def tables(results: Results, baselines: Sequence[str]) -> list[Table]:
    """The figures for a terminal."""
    shown = []
    for head, rows in (_speed(results, baselines), _where(results)):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(head[0], no_wrap=True)
        for column in head[1:]:
            table.add_column(column.replace(", ", "\n"), justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        shown.append(table)
    return shown


def describe(setting: Setting) -> list[str]:
    """What was measured on what, in sentences."""
    threads = f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"
    packages = ", ".join(f"{name} {number}" for name, number in setting.packages.items())
    paragraphs = [
        f"Release {setting.release}: {setting.names:,} distinct names, encoder {setting.encoder}, "
        f"index {setting.index}. Linked: {setting.mentions}.",
        f"{setting.rounds} rounds, in each of which every system links the same mentions, all of "
        f"them in batches of 32 and one in {BATCHES[1]} alone; a system that has taken "
        f"{BUDGET_SECONDS} s for one of the two is asked no more. "
        f"{threads if setting.threads else 'All'} of {setting.cores} cores of {setting.machine} "
        f"for each system; the 3-grams use one whatever is asked. {packages}.",
    ]
    if setting.vectors:
        paragraphs.append(f"The script's index holds {setting.vectors}.")
    return [*paragraphs, *(f"Left out: {reason}." for reason in setting.left_out)]


def _figures(results: Results, title: str, size: int, baselines: Sequence[str]) -> dict[str, Any]:
    summary = results[title][size]
    return {
        **asdict(summary),
        "rate": summary.rate,
        "recall_at_1": summary.recall,
        "times": {base: summary.times(results[base][size]) for base in baselines},
    }


def _speed(results: Results, baselines: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The table of mentions a second and of latencies."""
    small, large = BATCHES
    head = ["", *(f"mentions/s, batch {size}" for size in (small, large))]
    for base in baselines:
        short = base.partition(":")[0].partition(",")[0]
        head += [f"× {short}, batch {size}" for size in (small, large)]
    head += [f"p50 / p95 / p99 ms, batch {size}" for size in (small, large)]
    rows = []
    for title, of_size in results.items():
        one, many = of_size[small], of_size[large]
        rates = [f"{each.rate:,.1f}" for each in (one, many)]
        ratios = [
            _ratio(of_size[size].times(results[base][size]))
            for base in baselines
            for size in (small, large)
        ]
        latencies = [" / ".join(map(_milliseconds, summary.latencies)) for summary in (one, many)]
        rows.append([title, *rates, *ratios, *latencies, percent(many.recall)])
    return [*head, "R@1"], rows


def _where(results: Results) -> tuple[list[str], list[list[str]]]:
    """The table of where the time goes, with the parts that took any."""
    summaries = [summary for of_size in results.values() for summary in of_size.values()]
    parts = [part for part in PARTS if any(getattr(each, part) >= SHOWN for each in summaries)]
    head = ["ms a mention", *(f"{part}, batch {size}" for size in BATCHES for part in parts)]
    rows = [
        [
            title,
            *(f"{getattr(of_size[size], part):,.2f}" for size in BATCHES for part in parts),
            f"{of_size[max(BATCHES)].mentions:,}",
        ]
        for title, of_size in results.items()
    ]
    return [*head, f"mentions, batch {max(BATCHES)}"], rows


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(times: float) -> str:
    return f"{times:,.1f}" if times >= 1 else f"{times:.2f}"


def _versions() -> Iterator[tuple[str, str]]:
    yield "Python", platform.python_version()
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _processor() -> str:
    """The processor's name and what of it the models are fast by, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    said = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    name = said.get("model name") or platform.processor() or platform.machine()
    held = [each for each in INSTRUCTIONS if each in said.get("flags", "").split()]
    return f"{name} ({', '.join(held)})" if held else name
