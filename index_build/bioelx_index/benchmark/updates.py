"""What an update costs beside a full build, by how much has changed.

    python -m bioelx_index.benchmark.updates --out FOLDER

The shipped slice of Wikidata is served by oxigraph, with a date for every item, and pulled; the
whole shipped snapshot is built from that and encoded from nothing. Then, again and again, a share
of the release's concepts is changed at the server: of a third every name is another, a third gets
a name more, a third loses one. `bioelx_index.build.update` pulls what changed and builds the next
release. In the end the same is updated once more, with no change at all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from bioelx.errors import BioelxError
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, map_table
from bioelx.release import find_release
from bioelx.release.manifest import utc_now
from bioelx.settings import shipped
from bioelx.types import Status
from bioelx_index.benchmark.changes import send_update, values_of
from bioelx_index.benchmark.enlarge import as_ntriples, read_items
from bioelx_index.build import Outcome, build, update
from bioelx_index.endpoint import local_endpoint
from bioelx_index.places import Places
from bioelx_index.progress import Stages
from bioelx_index.settings import (
    BuildSettings,
    EncoderSettings,
    WikidataSettings,
)
from bioelx_index.sources.config import WIKIDATA, read_sources
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import pull

SHARES = (0.001, 0.01, 0.1)
"""Of the active concepts, that are changed before each update."""
MOST_ENCODED = 0.05
"""Of the full build's strings, that an update with one concept in a hundred changed may encode."""
_SEED = 20261124

_NEW_NAME = 'BIND(STRLANG(CONCAT(STR(?name), " variant {turn}"), LANG(?name)) AS ?new)'
_ONE_LABEL = """{{ SELECT ?item (MAX(?label) AS ?name)
    WHERE {{ {items} ?item rdfs:label ?label }} GROUP BY ?item }}"""
_CHANGES = (
    """DELETE {{ ?item ?p ?name }} INSERT {{ ?item ?p ?new }}
    WHERE {{ {items} VALUES ?p {{ rdfs:label skos:altLabel }} ?item ?p ?name {new} }}""",
    "INSERT {{ ?item skos:altLabel ?new }} WHERE {{ {one_label} {new} }}",
    "DELETE {{ ?item rdfs:label ?name }} WHERE {{ {one_label} }}",
)
"""Updates in SPARQL: every name is another, a name more, a name less."""
_DATE = """DELETE {{ ?item schema:dateModified ?date }}
    INSERT {{ ?item schema:dateModified "{date}"^^<http://www.w3.org/2001/XMLSchema#dateTime> }}
    WHERE {{ {items} ?item schema:dateModified ?date }}"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a build or an update took."""

    title: str
    changed: int
    """Concepts."""
    texts: int
    """Distinct names of the release."""
    encoded: int
    encode_seconds: float
    """To look up all names and to encode those that are new."""
    seconds: float
    """In all."""


def measure(data: Path, encoder: Path | None, out: Path, console: Console) -> list[Cost]:
    """Builds and updates in `out`, a new folder, and returns what each took.

    Args:
        data: a folder with sources.toml, one of whose sources is a slice of Wikidata.
        encoder: its folder; None takes the shipped one.

    Raises:
        BioelxError: a step fails.
    """
    out.mkdir(parents=True)
    places, triples, first = Places(out), out / "items.nt", out / "pulls" / "first"
    [slice_] = next(each for each in read_sources(data) if each.reader == WIKIDATA).files
    with triples.open("w", encoding="utf-8", newline="\n") as stream:
        for item in read_items(slice_):
            stream.writelines(f"{line}\n" for line in as_ntriples(item))
    full = BuildSettings(
        data=data,
        wikidata=WikidataSettings(pull=first),
        encoder=EncoderSettings(folder=encoder),
    )
    with local_endpoint(triples, writable=True) as url:
        everything = Selection(everything=True)
        pull(url, first, everything, user_agent="", stages=Stages(console))
        costs = [_timed("full build", 0, build, full, places, console)]
        later = BuildSettings(data=data, wikidata=WikidataSettings(endpoint=url))
        for turn, share in enumerate(SHARES, 1):
            changed = _change(url, places, share, turn)
            title = f"update, {share:.1%} of concepts changed"
            costs.append(_timed(title, changed, update, later, places, console))
        costs.append(_timed("update, nothing changed", 0, update, later, places, console))
    return costs


def _timed(
    title: str,
    changed: int,
    job: Callable[..., Outcome],
    settings: BuildSettings,
    places: Places,
    console: Console,
) -> Cost:
    console.rule(title)
    stages, began = Stages(console), time.perf_counter()
    outcome: Outcome = job(settings, places, stages)
    seconds = time.perf_counter() - began
    encoding = sum(stage.seconds for stage in stages.done if stage.title == "encode")
    texts = outcome.manifest.index.vectors
    return Cost(title, changed, texts, outcome.encoded, encoding, seconds)


def _change(url: str, places: Places, share: float, turn: int) -> int:
    """Changes a share of the active release's concepts at the server; returns how many."""
    qids, concepts = _items_of_active(places)
    wanted = round(share * concepts)
    if wanted > len(qids):
        raise BioelxError(f"{wanted:,} concepts to change, {len(qids):,} with labels of Wikidata")
    chosen = np.random.default_rng(_SEED + turn).permutation(qids)[:wanted].tolist()
    # The dates that were given to the items end in 2025.
    date = f"{utc_now() + timedelta(seconds=turn):%Y-%m-%dT%H:%M:%SZ}"
    for change, part in zip(_CHANGES, _thirds(chosen), strict=True):
        for items in values_of(part):
            one_label, new = _ONE_LABEL.format(items=items), _NEW_NAME.format(turn=turn)
            send_update(url, change.format(items=items, one_label=one_label, new=new))
    for items in values_of(chosen):
        send_update(url, _DATE.format(items=items, date=date))
    return len(chosen)


def _thirds(qids: Sequence[str]) -> list[Sequence[str]]:
    return [qids[place::3] for place in range(3)]


def _items_of_active(places: Places) -> tuple[list[str], int]:
    """The items whose labels the active release has, and how many active concepts there are."""
    release = find_release(root=places.releases)
    concepts, names = map_table(release / CONCEPTS_FILE), map_table(release / NAMES_FILE)
    own = pc.and_(
        pc.equal(names["source"].cast(pa.string()), WIKIDATA),
        pc.equal(names["kind"].cast(pa.string()), "label"),
    )
    ids = pc.unique(names.filter(own)["concept_id"].cast(pa.string())).to_pylist()
    active = pc.sum(pc.equal(concepts["status"], Status.ACTIVE.value)).as_py()
    prefix = f"{WIKIDATA}:"
    return [each.removeprefix(prefix) for each in sorted(ids) if each.startswith(prefix)], active


def as_markdown(costs: Sequence[Cost]) -> str:
    """The table, each row with its share of the first one's work."""
    full = costs[0]
    lines = [
        "| | concepts changed | distinct names | encoded | of the full build's "
        "| encoding, s | all, s |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {cost.title} | {cost.changed:,} | {cost.texts:,} | {cost.encoded:,} "
        f"| {cost.encoded / full.encoded:.2%} | {cost.encode_seconds:,.0f} | {cost.seconds:,.0f} |"
        for cost in costs
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_index.benchmark.updates",
        description="Compares updates with a full build, in strings encoded and in time.",
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder for all that is made")
    parser.add_argument("--data", type=Path, help="folder with sources.toml; default: shipped")
    parser.add_argument("--encoder", type=Path, help="folder with encoder.json; default: shipped")
    options = parser.parse_args()
    console = Console(highlight=False)
    try:
        costs = measure(options.data or shipped("data"), options.encoder, options.out, console)
    except BioelxError as error:
        sys.exit(f"updates: {error}")
    print(as_markdown(costs))
    full, (_, hundredth, _), nothing = costs[0], costs[1:-1], costs[-1]
    if hundredth.encoded > MOST_ENCODED * full.encoded or nothing.encoded:
        sys.exit("updates: more was encoded than an update may encode")


if __name__ == "__main__":
    main()
