"""`bioelx eval load`: a server under load, measured against its bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bioelx.cli.options import Release
from bioelx.cli.output import console
from bioelx_eval.cli.options import check_torch_model, make_folder, parse_dataset
from bioelx_eval.load.findings import tables, write_findings
from bioelx_eval.load.run import PARTS, measure_load
from bioelx_eval.load.setting import LoadSettings

_DEFAULT = LoadSettings()


def load(
    release: Release = "",
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this part: {', '.join(PARTS)}; may be repeated. Default: all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for PART.json, PART.md and pictures. Default: none."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a benchmark whose mentions are linked first. Without it, and when they "
            "are used up: names of the release with a typing error."
        ),
    ] = None,
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="Whose mentions: a name in `eval list`.")
    ] = "xlbel",
    torch_model: Annotated[
        Path | None,
        typer.Option(
            help="script, zipf: folder of the encoder's fp32 parent, for the script in torch. "
            "Without it the script is left out, and zipf compares with BioELX in process."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="script, zipf: folder for the script's own vectors, which it encodes once. "
            "Without it the script is given the release's."
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of the server and of what it is compared with; 0: all cores. throughput: 1.",
        ),
    ] = 0,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Calls on their way at a time, where that is fixed.")
    ] = _DEFAULT.in_flight,
    rounds: Annotated[
        int, typer.Option(min=1, help="throughput, script, zipf: how often all take turns.")
    ] = _DEFAULT.rounds,
    calls: Annotated[
        int, typer.Option(min=1, help="throughput, script: calls of 32 mentions in a round.")
    ] = _DEFAULT.calls,
    distinct: Annotated[
        int, typer.Option(min=1, help="zipf: distinct mentions that are drawn from.")
    ] = _DEFAULT.distinct,
    draws: Annotated[int, typer.Option(min=1, help="zipf: mentions drawn.")] = _DEFAULT.draws,
    small: Annotated[
        int, typer.Option(min=1, help="curve, soak: mentions of a call.")
    ] = _DEFAULT.small,
    seconds: Annotated[
        float, typer.Option(min=0.5, help="curve: measured at each load, in each pass.")
    ] = _DEFAULT.seconds,
    passes: Annotated[
        int, typer.Option(min=1, help="curve: how often each load has its turn.")
    ] = _DEFAULT.passes,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="soak: how long, after a tenth of it to warm up.")
    ] = _DEFAULT.minutes,
    swap_seconds: Annotated[
        float, typer.Option(min=0.1, help="soak: from one swap of releases to the next.")
    ] = _DEFAULT.swap_seconds,
) -> None:
    """Put a server under load: throughput, latencies past saturation, a soak.

    \b
    throughput  calls of 32 mentions over gRPC beside the same linker in process; one core for
                the server, another for the load generator
    script      the same beside the script that a user would write (torch fp32, exact index)
    zipf        a stream in which few mentions come often, beside that script: what the cache gives
    curve       latencies, answers and refusals from a tenth of what the server carries to three
                times of it; calls come by chance, whether or not those before have been answered
    soak        steady load with swaps of releases, callers that vanish, slow readers, oversize and
                malformed messages; what the server keeps of it

    Each part starts servers of its own and compares within one run. Exits with 1 if a bar is
    missed. docs/load.md tells how it is measured.

    \b
    Examples:
      bioelx eval load --part throughput --out OUT
      bioelx eval load --part script --part zipf --torch-model FOLDER --out OUT
      bioelx eval load --part curve --seconds 5 --passes 1
      bioelx eval load --part soak --minutes 1 --swap-seconds 10
    """
    for name in part or ():
        if name not in PARTS:
            raise typer.BadParameter(f"unknown part {name!r}; known are {', '.join(PARTS)}")
    check_torch_model(torch_model, cache)
    if out:
        make_folder(out)
    settings = LoadSettings(
        release=release,
        dataset=parse_dataset(dataset) if data else None,
        data=data or Path(),
        torch_model=torch_model,
        cache=cache,
        in_flight=in_flight,
        rounds=rounds,
        calls=calls,
        distinct=distinct,
        draws=draws,
        seconds=seconds,
        passes=passes,
        minutes=minutes,
        swap_seconds=swap_seconds,
        small=small,
        threads=threads,
    )
    shown, missed = console(), False
    for name in dict.fromkeys(part or PARTS):
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
            task = progress.add_task(name, total=None)

            def say(doing: str) -> None:
                progress.update(task, description=f"{name}: {doing}")  # noqa: B023

            def advance(done: float, total: float) -> None:
                progress.update(task, completed=done, total=total)  # noqa: B023

            found = measure_load(settings, name, say, advance)
        for paragraph in found.described:
            shown.print(paragraph, soft_wrap=True, markup=False)
        for table in tables(found):
            shown.print(table)
        if out:
            write_findings(found, out)
            shown.print(f"See {out}.", soft_wrap=True)
        missed |= not found.all_met
    if missed:
        raise typer.Exit(1)
