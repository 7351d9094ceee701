"""The Wikidata slice: statements collected from raw files, written in Wikidata's RDF vocabulary.

https://www.mediawiki.org/wiki/Wikibase/Indexing/RDF_Dump_Format describes the vocabulary.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from bioelx.types import Name
from bioelx_index.snapshot.ntriples import iri, literal, triple
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import curie

WD = "http://www.wikidata.org/entity/"
WDT = "http://www.wikidata.org/prop/direct/"
LABEL = iri("http://www.w3.org/2000/01/rdf-schema#label")
ALT_LABEL = iri("http://www.w3.org/2004/02/skos/core#altLabel")
DESCRIPTION = iri("http://schema.org/description")
ABOUT = iri("http://schema.org/about")
IN_LANGUAGE = iri("http://schema.org/inLanguage")
IS_PART_OF = iri("http://schema.org/isPartOf")
TITLE = iri("http://schema.org/name")
INSTANCE_OF = iri(WDT + "P31")
TAXON_COMMON_NAME = iri(WDT + "P1843")

# The scheme of each identifier property and the values that it may have; whatever else the raw
# files hold is a slip.
IDENTIFIERS = {
    "P486": ("mesh", r"[CD]\d{6}(\d{3})?"),
    "P493": ("icd9", r"(V?\d{2,3}|E\d{3})(\.\d{1,2})?"),
    "P494": ("icd10", r"[A-Z]\d{2}(\.\d{1,2})?"),
    "P699": ("doid", r"DOID:\d{1,7}"),
    "P2892": ("umls", r"C\d{7}"),
    "P5806": ("snomedct", r"\d{6,18}"),
}

_QID = re.compile(r"Q[1-9]\d*")
_WIKIPEDIA = re.compile(r"https://([a-z-]+)\.wikipedia\.org/wiki/.+")


@dataclass
class Slice:
    """Statements about items. Feed it the newest raw file first: the first label and the first
    description of an item in a language stay, a later label that differs becomes an alias."""

    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    descriptions: dict[tuple[str, str], str] = field(default_factory=dict)
    aliases: set[tuple[str, str, str]] = field(default_factory=set)
    common_names: set[tuple[str, str, str]] = field(default_factory=set)
    identifiers: set[tuple[str, str, str]] = field(default_factory=set)
    instances: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    sitelinks: dict[str, str] = field(default_factory=dict)

    def label(self, qid: str, lang: str, text: str) -> None:
        text = clean(text)
        if _is_name(text) and self.labels.setdefault((qid, lang), text) != text:
            self.aliases.add((qid, lang, text))

    def alias(self, qid: str, lang: str, text: str) -> None:
        text = clean(text)
        if _is_name(text):
            self.aliases.add((qid, lang, text))

    def description(self, qid: str, lang: str, text: str) -> None:
        if text := clean(text):
            self.descriptions.setdefault((qid, lang), text)

    def common_name(self, qid: str, lang: str, text: str) -> None:
        """A taxon's common name (P1843), which Wikidata keeps apart from labels and aliases."""
        text = clean(text)
        if _is_name(text):
            self.common_names.add((qid, lang, text))

    def identifier(self, qid: str, prop: str, value: str) -> None:
        """An external identifier; a value that the property's form excludes is left out."""
        if re.fullmatch(IDENTIFIERS[prop][1], value):
            self.identifiers.add((qid, prop, value))

    def instance(self, qid: str, class_qid: str) -> None:
        self.instances.add((qid, class_qid))

    def member(self, qid: str, class_qid: str) -> None:
        """Membership in a class or any class below it: less than Wikidata's own P31 says."""
        self.members.add((qid, class_qid))

    def sitelink(self, qid: str, url: str) -> None:
        if _WIKIPEDIA.fullmatch(url):
            self.sitelinks[url] = qid

    def items(self) -> set[str]:
        """The QIDs that some statement is about."""
        keyed = (self.labels, self.descriptions, self.aliases, self.common_names)
        values = (self.identifiers, self.instances)
        return {key[0] for keys in (*keyed, *values) for key in keys} | {*self.sitelinks.values()}

    def concepts(self) -> Iterator[SourceConcept]:
        """The items as readers of sources give them."""
        names, same = defaultdict(list), defaultdict(list)
        for (qid, lang), text in self.labels.items():
            names[qid].append(Name(text, lang, "label", "wikidata"))
        for qid, lang, text in self._other_names():
            names[qid].append(Name(text, lang, "alias", "wikidata"))
        for qid, prop, value in self.identifiers:
            if identifier := curie(IDENTIFIERS[prop][0], value):
                same[qid].append(identifier)
        for qid in sorted(self.items()):
            yield SourceConcept(f"wikidata:{qid}", tuple(names[qid]), equivalent=tuple(same[qid]))

    def statements(self) -> Iterator[str]:
        """Wikidata's own statements, as lines in no particular order."""
        for (qid, lang), text in self.labels.items():
            yield triple(iri(WD + qid), LABEL, literal(text, lang))
        for qid, lang, text in self._other_names():
            common = (qid, lang, text) in self.common_names
            predicate = TAXON_COMMON_NAME if common else ALT_LABEL
            yield triple(iri(WD + qid), predicate, literal(text, lang))
        for (qid, lang), text in self.descriptions.items():
            yield triple(iri(WD + qid), DESCRIPTION, literal(text, lang))
        for qid, prop, value in self.identifiers:
            yield triple(iri(WD + qid), iri(WDT + prop), literal(value))
        for qid, class_qid in self.instances:
            yield triple(iri(WD + qid), INSTANCE_OF, iri(WD + class_qid))
        for url, qid in self.sitelinks.items():
            yield from _article(url, qid)

    def memberships(self) -> Iterator[str]:
        """What follows from Wikidata's class tree: instance of the class that was asked for."""
        for qid, class_qid in self.members:
            yield triple(iri(WD + qid), INSTANCE_OF, iri(WD + class_qid))

    def _other_names(self) -> Iterator[tuple[str, str, str]]:
        yield from self.common_names
        for qid, lang, text in self.aliases:
            if self.labels.get((qid, lang)) != text:
                yield qid, lang, text


def clean(text: str) -> str:
    """Runs of white space (raw files have stray line ends) become one space.

    A text with U+FFFD lost its letters before it came here and is given up: ``""``.
    """
    return "" if "\ufffd" in text else " ".join(text.split())


def _is_name(text: str) -> bool:
    """False for nothing, and for the QID that the label service gives where a label is missing."""
    return bool(text) and not _QID.fullmatch(text)


def _article(url: str, qid: str) -> Iterator[str]:
    parts = urlsplit(url)
    lang = parts.netloc.split(".")[0]
    title = unquote(parts.path.removeprefix("/wiki/")).replace("_", " ")
    yield triple(iri(url), ABOUT, iri(WD + qid))
    yield triple(iri(url), IN_LANGUAGE, literal(lang))
    yield triple(iri(url), IS_PART_OF, iri(f"https://{parts.netloc}/"))
    yield triple(iri(url), TITLE, literal(title, lang))
