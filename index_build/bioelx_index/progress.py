"""Progress of long work: a bar a stage on a terminal; elsewhere a line a stage, and a line a minute
while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Advance = Callable[[int], None]

_LINE_SECONDS = 60.0
_ESTIMATE_SECONDS = 300.0  # of the latest work, from which the time that remains is estimated


@dataclass(frozen=True, slots=True)
class Done:
    """A stage that is over."""

    title: str
    unchanged: bool
    """Nothing had to be done: an earlier job did it with the same inputs and settings."""
    seconds: float
    result: str


class Stages:
    """Shows the stages of a job as they come and how long each took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.done: list[Done] = []

    @contextmanager
    def stage(self, title: str, total: int | None = None, done: int = 0) -> Iterator[Stage]:
        """Shows one stage; `total` is what its `advance` calls will add up to, if that is known,
        with what was `done` earlier."""
        started = perf_counter()
        columns = (
            TextColumn("  {task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        shown = self.console.is_terminal
        with Progress(
            *columns,
            console=self.console,
            transient=True,
            disable=not shown,
            speed_estimate_period=_ESTIMATE_SECONDS,
        ) as bar:
            task = bar.add_task(title, total=total, completed=done)
            stage = Stage(
                (lambda more: bar.advance(task, more)) if shown else self._lines(title, total, done)
            )
            yield stage
        seconds = perf_counter() - started
        self.done.append(Done(title, stage.unchanged, seconds, stage.result))
        self.console.print(f"  [green]✓[/] {title:<16} {stage.result} [dim]({seconds:.1f} s)[/]")

    def summary(self) -> Table:
        """All stages that are over."""
        table = Table("stage", "", show_edge=False, pad_edge=False)
        table.add_column("seconds", justify="right")
        table.add_column("result", overflow="fold")
        for each in self.done:
            state = "[dim]unchanged[/]" if each.unchanged else "done"
            table.add_row(each.title, state, f"{each.seconds:,.1f}", each.result)
        return table

    def _lines(self, title: str, total: int | None, done: int) -> Advance:
        """Says once a minute how far a stage is, where there is no bar to watch."""
        started = said = perf_counter()
        now_done = done

        def advance(more: int) -> None:
            nonlocal now_done, said
            now_done += more
            now = perf_counter()
            if now - said < _LINE_SECONDS:
                return
            said = now
            line = f"    {title:<16} {now_done:,}"
            if total:
                left = (total - now_done) * (now - started) / max(1, now_done - done) / 60
                line += f" of {total:,}, some {left:,.0f} minutes left"
            self.console.print(line)

        return advance


class Stage:
    """One stage at work."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.result = ""
        """What its line says when it is done."""
        self.unchanged = False
