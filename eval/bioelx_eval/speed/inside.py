"""The linker in a process of its own, asked like the scripts that it is measured beside.

python -m bioelx_eval.speed.inside RELEASE THREADS [RANKER]: a JSON list of mentions a line in,
each as [text, start, end, language], and the first concept of each out. With a ranker, it reads
every mention.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

from bioelx.errors import InstallationError
from bioelx.linker import Linker
from bioelx.types import LinkOptions, Query, Rerank

TOP_K = 10


def main(release: str, threads: str, ranker: str = "") -> None:
    """Answers until its input ends; says instead why it cannot, where a package is missing."""
    try:
        linker = Linker.open(release, threads=int(threads), ranker=ranker)
    except InstallationError as error:
        print(json.dumps({"unavailable": str(error)}), flush=True)
        return
    options = LinkOptions(top_k=TOP_K, rerank=Rerank.ALWAYS if ranker else Rerank.NEVER)
    print("{}", flush=True)  # ready
    for line in sys.stdin:
        queries = [Query(*each) for each in json.loads(line)]
        started = perf_counter()
        linked = linker.link(queries, options)
        seconds = perf_counter() - started
        reply = {
            "encoding": linked.timing.encoding,
            "searching": linked.timing.searching,
            "ranking": linked.timing.ranking,
            "seconds": seconds,
            "concepts": [link.candidates[0].concept.concept_id for link in linked.links],
        }
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
