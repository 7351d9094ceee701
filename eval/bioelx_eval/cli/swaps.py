"""`bioelx eval swaps`: what callers notice when a server's release is swapped under load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bioelx.cli.options import Release
from bioelx.cli.output import console
from bioelx_eval.speed.swaps import Memory, Swaps, SwapSettings, measure_swaps

METHODS = ("link", "search", "concept", "stream")


def swaps(
    release: Release = "",
    count: Annotated[int, typer.Option("--swaps", min=1, help="Swaps and rollbacks.")] = 50,
    clients: Annotated[int, typer.Option(min=1, help="Callers, beside one with a stream.")] = 4,
    pause: Annotated[
        float, typer.Option(min=0, help="Seconds that a caller rests after each call.")
    ] = 0.05,
    calm: Annotated[
        float, typer.Option(min=1, help="Seconds of load before the first swap, to compare with.")
    ] = 10.0,
    threads: Annotated[int, typer.Option(min=0, help="Of the server; 0: all cores.")] = 0,
    keep_loaded: Annotated[
        int, typer.Option(min=0, help="Previous releases that the server holds in memory.")
    ] = 0,
) -> None:
    """Swap a server's release for another and back, many times, under a steady load.

    The other is made from the first: the same in all but the ids of its concepts, so that a reply
    that mixes the two is seen. Swaps come about in turn by a call of ReleaseAdmin, by the pointer
    of the folder (as 'bioelx release activate' does it), and by a rollback. Exits with 1 if a call
    fails or a reply mixes releases.

    \b
    Examples:
      bioelx eval swaps
      bioelx eval swaps --swaps 6 --calm 3 --keep-loaded 1
    """
    settings = SwapSettings(
        release=release,
        swaps=count,
        clients=clients,
        pause=pause,
        calm=calm,
        threads=threads,
        keep_loaded=keep_loaded,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=count)
        measured = measure_swaps(
            settings,
            lambda doing: progress.update(task, description=doing),
            lambda done: progress.update(task, description="swapping", completed=done),
        )
    shown = console()
    shown.print(_summary(measured), soft_wrap=True)
    shown.print(_latencies(measured))
    shown.print(_memory(measured))
    for failure in measured.failures[:10]:
        shown.print(failure, soft_wrap=True)
    if measured.failures or measured.mixed:
        raise typer.Exit(1)


def _summary(measured: Swaps) -> str:
    ways: dict[str, list[float]] = {}
    for swap in measured.swaps:
        ways.setdefault(swap.way, []).append(swap.seconds)
    took = ", ".join(
        f"{len(seconds)} by {way} ({sum(seconds) / len(seconds):.1f} s each)"
        for way, seconds in ways.items()
    )
    return (
        f"{len(measured.calls):,} calls, {len(measured.failures)} failed, {measured.mixed} mixed; "
        f"{len(measured.swaps)} swaps: {took}."
    )


def _latencies(measured: Swaps) -> Table:
    columns = ("ms of a call", "in calm p50 / p95 / p99 / max", "while swapping", "times")
    table = Table(*columns, show_edge=False)
    for method in METHODS:
        calm = measured.latencies(method, swapping=False)
        swapping = measured.latencies(method, swapping=True)
        times = [after / before for before, after in zip(calm, swapping, strict=True)]
        rows = (calm, swapping, times)
        table.add_row(method, *(" / ".join(f"{each:.1f}" for each in row) for row in rows))
    return table


def _memory(measured: Swaps) -> Table:
    columns = ("MB", "before", "after the first swap", "after the last", "highest", "last / first")
    table = Table(*columns, show_edge=False)
    parts: dict[str, Callable[[Memory], int]] = {
        "resident": lambda memory: memory.resident,
        "proportional": lambda memory: memory.proportional,
    }
    for name, part in parts.items():
        after = [part(swap.memory) for swap in measured.swaps]
        held = (part(measured.before), after[0], after[-1], max(after))
        growth = measured.growth(part)
        table.add_row(name, *(f"{each / 1e6:,.0f}" for each in held), f"{growth:.3f}")
    return table
