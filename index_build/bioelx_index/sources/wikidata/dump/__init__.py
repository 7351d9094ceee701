"""Wikidata from a dump on disk: `latest-all.json`, packed with bzip2, gzip or zstd, or not at all.

stream.py, bzip2.py   unpack it
blocks.py             cut it into blocks of whole lines
scan.py               find the items of a block that belong
entity.py             turn their JSON into items
crew.py               several processes at that
pull.py               all of it, into a folder
"""

from bioelx_index.sources.wikidata.dump.pull import pull_dump

__all__ = ["pull_dump"]
