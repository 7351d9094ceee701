"""Progress of long work: a bar a stage on a terminal, a line a stage elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int], None]


class Stages:
    """Shows the stages of a job as they come and how long each took."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Stage]:
        """Shows one stage; `total` is what its `advance` calls will add up to, if that is known."""
        started = perf_counter()
        columns = (
            TextColumn("  {task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        shown = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not shown) as bar:
            task = bar.add_task(title, total=total)
            stage = Stage(lambda done: bar.advance(task, done))
            yield stage
        seconds = perf_counter() - started
        self.console.print(f"  [green]✓[/] {title:<16} {stage.result} [dim]({seconds:.1f} s)[/]")


class Stage:
    """One stage at work; `result` is what its line says when it is done."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.result = ""
