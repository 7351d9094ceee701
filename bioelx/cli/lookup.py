"""`bioelx search`, `bioelx concept`, `bioelx info`: look into a knowledge base."""

from __future__ import annotations

from typing import Annotated

import typer

from bioelx.cli import options, output
from bioelx.cli.backend import open_backend
from bioelx.credentials import Credentials
from bioelx.types import Rerank
from bioelx.v1 import linker_pb2 as pb


@options.with_credentials
def search(
    name: Annotated[
        str, typer.Argument(help="Any name, in any language.", callback=options.unicode)
    ],
    server: options.Server = "",
    release: options.Release = "",
    language: options.Language = "",
    top_k: options.TopK = None,
    types: options.Types = None,
    schemes: options.Schemes = None,
    label_languages: options.LabelLanguages = None,
    explain: options.Explain = False,
    form: options.Format = None,
    *,
    credentials: Credentials,
) -> None:
    """Find the concepts whose names resemble NAME most.

    \b
    Examples:
        bioelx search 'kalp krizi' --language tr
        bioelx search aspirin --type chemical --top-k 3 --server localhost:50051
    """
    wanted = options.link_options(
        server,
        release,
        top_k=top_k,
        types=types,
        schemes=schemes,
        label_languages=label_languages,
        explain=explain or None,
        rerank=Rerank.NEVER,
    )
    reply = open_backend(server, release, credentials).search(name, language=language, **wanted)
    if output.chosen(form) is options.Output.JSON:
        for candidate in reply.candidates:
            output.print_json(output.candidate_dict(candidate))
        return
    output.print_header(output.CANDIDATE_COLUMNS)
    for candidate in reply.candidates:
        output.print_row(output.candidate_row(candidate), output.CANDIDATE_COLUMNS)
        output.print_shares([candidate])


@options.with_credentials
def concept(
    concept_id: Annotated[
        str,
        typer.Argument(
            help="A concept's id or one of its xrefs (CURIE).", callback=options.unicode
        ),
    ],
    server: options.Server = "",
    release: options.Release = "",
    form: options.Format = None,
    *,
    credentials: Credentials,
) -> None:
    """Show one concept with its names.

    \b
    Examples:
        bioelx concept wikidata:Q12152
        bioelx concept umls:C0027051 --output json
    """
    reply = open_backend(server, release, credentials).concept(concept_id)
    if output.chosen(form) is options.Output.JSON:
        output.print_message(reply)
        return
    found = reply.concept
    _print_fields(
        {
            "concept": found.concept_id,
            "label": found.label,
            "description": found.description,
            "types": ", ".join(found.types),
            "xrefs": ", ".join(found.xrefs),
            "status": found.status,
            "replaces": reply.retired_id,
            "see also": ", ".join(reply.also),
        }
    )
    columns = (("", 0), ("lang", 8), ("kind", 6), ("name", 60), ("source", 24))
    for name in sorted(found.names, key=lambda name: (name.language, name.kind, name.text)):
        output.print_row(("", name.language, name.kind, name.text, name.source), columns)


@options.with_credentials
def info(
    server: options.Server = "",
    release: options.Release = "",
    form: options.Format = None,
    *,
    credentials: Credentials,
) -> None:
    """Show what a server, or a release, is: models, counts, sources, limits.

    \b
    Examples:
        bioelx info
        bioelx info --server localhost:50051 --output json
    """
    reply = open_backend(server, release, credentials).info()
    if output.chosen(form) is options.Output.JSON:
        output.print_message(reply)
        return
    limits, index = reply.limits, reply.search_index
    _print_fields(
        {
            "version": reply.version,
            "release": f"{reply.release}, made {reply.release_created.ToDatetime():%Y-%m-%d %H:%M}",
            "also loaded": ", ".join(reply.loaded_releases[1:]),
            "loading": reply.loading_release,
            "refused": _refused(reply),
            "knowledge": f"{reply.concepts:,} concepts, {reply.names:,} names",
            "encoder": f"{reply.encoder} ({reply.encoder_fingerprint})",
            "ranker": reply.ranker or "none",
            "index": ", ".join(
                [
                    f"{index.factory} on {index.device}",
                    *(f"{name} {value}" for name, value in sorted(index.parameters.items())),
                    f"recall@10 {index.recall_at_10:.3f}",
                ]
            ),
            "index note": index.note,
            "device": reply.device,
            "NIL below": f"{reply.default_min_confidence:.3f}",
            "types": ", ".join(reply.types),
            "schemes": ", ".join(reply.schemes),
            "languages": ", ".join(reply.languages),
            "limits": ", ".join(f"{f.name} {value:,}" for f, value in limits.ListFields()),
        }
    )
    for source in reply.sources:
        typer.echo(f"{'source':12}  {source.name}, {source.snapshot} ({source.licence})")


def _refused(reply: pb.InfoReply) -> str:
    if not reply.HasField("refused_release"):
        return ""
    refused = reply.refused_release
    when = f"{refused.time.ToDatetime():%Y-%m-%d %H:%M}"
    return f"{refused.id or 'the pointer'} at {when}: {refused.reason}"


def _print_fields(fields: dict[str, str]) -> None:
    for name, value in fields.items():
        if value:
            typer.echo(f"{name:12}  {value}")
