"""Makes the shipped knowledge (``data/``) from a folder of raw sources.

Order of the work, each step a module: ``ontologies`` (recompress), ``slice`` (Wikidata as
N-Triples), ``derived`` (names matched by string), ``papers`` (catalogue, licences, counts).
``python -m bioelx_index.snapshot`` calls them.
"""
