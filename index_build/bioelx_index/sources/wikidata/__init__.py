"""Wikidata, by three routes that end in the same records: SPARQL, a dump, and what changed since.

    sparql.py   asks an endpoint, page by page
    dump.py     reads latest-all.json, plain or packed
    changes.py  brings an earlier pull up to date

What belongs is a `Selection`; what is kept of an item is an `Item`, whichever route it came by; a
pull lies in a folder (`folder.py`) that keeps what is done, so that a killed one goes on. The
vocabulary is that of Wikidata's RDF and JSON:
https://www.mediawiki.org/wiki/Wikibase/Indexing/RDF_Dump_Format
https://doc.wikimedia.org/Wikibase/master/php/docs_topics_json.html
"""
