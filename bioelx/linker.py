"""The online journey: mention -> vector -> neighbours -> concepts -> ranker -> confidence -> link.

`Linker.link` reads from top to bottom; each step is one call into the package that owns it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import langcodes
import numpy as np
import numpy.typing as npt

from bioelx.confidence import (
    CONSIDERED,
    ConfidenceModel,
    Features,
    features_of,
    share_out,
)
from bioelx.encoding import Encoder, open_encoder
from bioelx.errors import FileError, InvalidRequestError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.ranking import Precision, Ranker, open_ranker, window_around
from bioelx.release import FileStamp, Manifest, find_release, verify_release
from bioelx.search.index import NameIndex
from bioelx.search.retriever import Hit, Retriever
from bioelx.settings import SearchSettings
from bioelx.types import (
    TYPES,
    Candidate,
    Concept,
    Link,
    LinkedBatch,
    LinkOptions,
    Query,
    Rerank,
    Timing,
)

ENCODER_FOLDER = "encoder"
NAMES_READ = 3
"""Names of a candidate in one language that a ranker reads."""
LONGEST_TAG = 64
"""Characters of a language tag; a real one has no more than 35 (RFC 5646, section 4.4.1)."""
TAGS_KEPT = 4096
"""Language tags that are parsed once for all."""
RANKED = 16
"""Candidates that the ranker reads, however few or many a caller wants to see."""


@dataclass(frozen=True, slots=True)
class Mention:
    """What is asked, as the journey takes it: checked and in normal form."""

    key: str
    """The mention's normal form."""
    query: Query
    """Its language in standard form."""
    options: LinkOptions


class Scope(NamedTuple):
    """What a search depends on beside the mention."""

    top_k: int
    types: tuple[str, ...]


class Linker:
    """Links mentions to the concepts of one release. Not to be called from two threads at once."""

    def __init__(
        self,
        manifest: Manifest,
        knowledge_base: KnowledgeBase,
        encoder: Encoder,
        index: NameIndex,
        confidence: ConfidenceModel,
        ranker: Ranker | None = None,
    ) -> None:
        self.manifest = manifest
        self.knowledge_base = knowledge_base
        self.encoder = encoder
        self.index = index
        self.confidence = confidence
        self.ranker = ranker
        self._retriever = Retriever(knowledge_base, index)

    @classmethod
    def open(
        cls,
        release: Path | str | None = None,
        *,
        threads: int = 0,
        ranker: str = "",
        ranker_precision: Precision = "auto",
        search: SearchSettings | None = None,
        beside: Linker | None = None,
    ) -> Linker:
        """Opens a release: its folder, its id, or the active one.

        Args:
            threads: for encoding and search; 0 takes all cores.
            ranker: folder or hub id of a reranker; empty links by retrieval alone.
            ranker_precision: of its weights.
            search: how the index is searched; default: the environment's.
            beside: a linker opened with the same threads and ranker, of any release. The models
                that both have are not loaded twice, so neither is to be called during a call of
                the other.

        Raises:
            NotFoundError: there is no such release.
            FileError: a file of it is missing, damaged, or does not fit the others.
        """
        folder = find_release(release)
        manifest = verify_release(folder)
        knowledge_base = KnowledgeBase.open(folder)
        if beside and _encoder_files(beside.manifest) == _encoder_files(manifest):
            encoder = beside.encoder
        else:
            encoder = open_encoder(folder / ENCODER_FOLDER, threads=threads)
        if encoder.card.fingerprint != manifest.encoder.fingerprint:
            raise FileError(folder / ENCODER_FOLDER, "is not the encoder of this release's vectors")
        index = NameIndex.open(
            folder,
            manifest.index.factory,
            manifest.index.parameters,
            threads=threads,
            settings=search,
        )
        if index.text_count != len(knowledge_base.texts):
            raise FileError(folder / "index.faiss", "does not belong to names.arrow beside it")
        confidence = ConfidenceModel.open(folder)
        if beside:
            opened_ranker = beside.ranker
        else:
            opened_ranker = (
                open_ranker(ranker, threads=threads, precision=ranker_precision) if ranker else None
            )
        return cls(manifest, knowledge_base, encoder, index, confidence, opened_ranker)

    def check(self, options: LinkOptions, *, path: str = "options") -> None:
        """Refuses options that this linker cannot honour.

        Args:
            path: of the options in the request, to name the field at fault.

        Raises:
            InvalidRequestError: a value is out of range or unknown.
        """
        if options.top_k < 1:
            raise InvalidRequestError(f"{path}.top_k", "must be at least 1")
        for i, wanted in enumerate(options.types):
            if wanted not in TYPES:
                raise InvalidRequestError(
                    f"{path}.types[{i}]", f"unknown type; known are {', '.join(TYPES)}"
                )
        schemes = self.knowledge_base.schemes
        for i, scheme in enumerate(options.schemes):
            if scheme not in schemes:
                raise InvalidRequestError(
                    f"{path}.schemes[{i}]", f"unknown scheme; known are {', '.join(schemes)}"
                )
        for i, language in enumerate(options.label_languages):
            read_language(language, f"{path}.label_languages[{i}]")
        minimum = options.min_confidence
        if minimum is not None and not 0 <= minimum <= 1:
            raise InvalidRequestError(f"{path}.min_confidence", "must be between 0 and 1")
        if options.rerank is Rerank.ALWAYS and self.ranker is None:
            raise InvalidRequestError(
                f"{path}.rerank", "always needs a ranker, and this server has none"
            )

    def link(
        self,
        queries: Sequence[Query],
        options: LinkOptions | Sequence[LinkOptions] = LinkOptions(),  # noqa: B008  (immutable)
    ) -> LinkedBatch:
        """Links mentions, all with the same options or each with its own.

        The answers do not depend on which mentions share a batch.

        Raises:
            InvalidRequestError: a mention has no visible character, or a language or an option is
                refused.
        """
        mentions = self.read(queries, options)
        timing = Timing()

        started = perf_counter()
        distinct = {key: row for row, key in enumerate(dict.fromkeys(m.key for m in mentions))}
        vectors = self.embed(self.tokenise(list(distinct)))[[distinct[m.key] for m in mentions]]
        timing.encoding = perf_counter() - started

        started = perf_counter()
        hits = self.search(mentions, vectors)
        timing.searching = perf_counter() - started

        retrieved = self.describe(mentions, hits)

        started = perf_counter()
        candidates = list(map(self.rank, mentions, retrieved))
        timing.ranking = perf_counter() - started if self.ranker else 0.0

        links = tuple(map(self.decide, mentions, hits, candidates))
        return LinkedBatch(links, self.manifest.id, timing)

    # The steps of the journey. A server calls them too, each in a thread of its own: no two calls
    # of one step at the same time.

    def read(
        self, queries: Sequence[Query], options: LinkOptions | Sequence[LinkOptions]
    ) -> list[Mention]:
        """Checks what is asked and brings it into normal form; see `link`."""
        if isinstance(options, LinkOptions):
            options = [options] * len(queries)
        for each in dict.fromkeys(options):
            self.check(each)
        mentions = []
        for i, (query, wanted) in enumerate(zip(queries, options, strict=True)):
            key = normalise(query.mention)
            if not key:
                raise InvalidRequestError(f"queries[{i}]", "has no visible character")
            if query.language:
                language = read_language(query.language, f"queries[{i}].language")
                query = replace(query, language=language)
            mentions.append(Mention(key, query, wanted))
        return mentions

    def tokenise(self, keys: Sequence[str]) -> list[list[int]]:
        """The encoder's tokens of each normalised mention; their number is what it costs."""
        return self.encoder.tokenise(keys)

    def embed(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """The vectors of mentions, float32 [mentions, dim].

        Raises:
            MemoryError: there is none for so many at once.
        """
        return self.encoder.embed(tokens)

    def search(
        self, mentions: Sequence[Mention], vectors: npt.NDArray[np.float32]
    ) -> list[list[Hit]]:
        """The concepts found for each mention; those are searched together that have one scope."""
        groups: dict[Scope, list[int]] = defaultdict(list)
        for i, mention in enumerate(mentions):
            groups[self.scope(mention)].append(i)
        hits: list[list[Hit]] = [[] for _ in mentions]
        for scope, rows in groups.items():
            found = self._retriever.retrieve(
                [mentions[i].key for i in rows],
                vectors[rows],
                [mentions[i].query.language for i in rows],
                top_k=scope.top_k,
                types=scope.types,
            )
            for i, of_mention in zip(rows, found, strict=True):
                hits[i] = of_mention
        return hits

    def scope(self, mention: Mention) -> Scope:
        """What of a mention's options its search depends on, beside its key and language."""
        wanted = mention.options
        return Scope(max(self._depth(wanted), CONSIDERED), wanted.types)

    def _depth(self, wanted: LinkOptions) -> int:
        """Candidates that are described: what the ranker reads does not depend on what is shown."""
        reads = self.ranker is not None and wanted.rerank is not Rerank.NEVER
        return max(wanted.top_k, RANKED) if reads else wanted.top_k

    def describe(
        self, mentions: Sequence[Mention], hits: Sequence[Sequence[Hit]]
    ) -> list[list[Candidate]]:
        """The hits that are asked for as candidates; what they say is read for all at once."""
        shown = [
            found[: self._depth(mention.options)]
            for found, mention in zip(hits, mentions, strict=True)
        ]
        concept_rows = list({hit.concept_row for found in shown for hit in found})
        concepts = dict(zip(concept_rows, self.knowledge_base.concepts(concept_rows), strict=True))
        names = iter(self.knowledge_base.names([hit.name_row for of in shown for hit in of]))
        labels = self._labels(shown, mentions)
        candidates = []
        for mention, found, of_mention, labelled in zip(mentions, hits, shown, labels, strict=True):
            probabilities = self.confidence.probabilities(features_of(mention.key, found))
            candidates.append(
                [
                    Candidate(
                        concept=_with_schemes(concepts[hit.concept_row], mention.options.schemes),
                        matched=next(names),
                        exact=hit.exact,
                        retrieval_score=hit.score,
                        retrieval_rank=rank,
                        label=label,
                        label_language=language,
                        probability=probabilities[rank - 1],
                        retrieval_probability=probabilities[rank - 1],
                    )
                    for rank, (hit, (label, language)) in enumerate(
                        zip(of_mention, labelled, strict=True), start=1
                    )
                ]
            )
        return candidates

    def _labels(
        self,
        hits: Sequence[Sequence[Hit]],
        mentions: Sequence[Mention],
    ) -> list[list[tuple[str, str]]]:
        """The label of each hit in the languages that its mention asks for, with its language."""
        rows: dict[tuple[str, ...], set[int]] = defaultdict(set)
        languages = []
        for found, mention in zip(hits, mentions, strict=True):
            tags = mention.options.label_languages or (mention.query.language, "en")
            languages.append(tuple(langcodes.standardize_tag(tag) for tag in tags if tag))
            rows[languages[-1]].update(hit.concept_row for hit in found)
        labels = {
            tags: dict(zip(each, self.knowledge_base.labels(list(each), tags), strict=True))
            for tags, each in rows.items()
        }
        return [
            [labels[tags][hit.concept_row] for hit in found]
            for found, tags in zip(hits, languages, strict=True)
        ]

    def asks_ranker(self, mention: Mention, candidates: Sequence[Candidate]) -> bool:
        """Whether the ranker is to read the context: where it is wanted and can change the answer.
        Without it the answer depends on the mention alone, whatever its document says.
        """
        rerank = mention.options.rerank
        if self.ranker is None or rerank is Rerank.NEVER or not candidates:
            return False
        return rerank is Rerank.ALWAYS or candidates[0].probability < self.ranker.below

    def rank(self, mention: Mention, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Lets the ranker read the context if it is to.

        Raises:
            MemoryError: there is none for a single candidate.
        """
        if self.ranker is None or not self.asks_ranker(mention, candidates):
            return candidates
        query = mention.query
        read, rest = candidates[:RANKED], candidates[RANKED:]
        named = self._with_names(read, query.language)
        log_odds = self.ranker.log_odds(window_around(query), named)
        ranked = [
            replace(
                c,
                ranker_log_odds=odds,
                probability=self.confidence.with_ranker(c.probability, odds),
            )
            for c, odds in zip(read, log_odds, strict=True)
        ]
        shared = share_out([c.probability for c in ranked])
        ranked = [replace(c, probability=p) for c, p in zip(ranked, shared, strict=True)]
        return [*sorted(ranked, key=lambda c: (-c.probability, c.retrieval_rank)), *rest]

    def _with_names(self, candidates: Sequence[Candidate], language: str) -> list[Candidate]:
        """The candidates with names in the mention's language and in English, whichever languages
        the caller wants to see.
        """
        kb = self.knowledge_base
        found = (kb.row_of(candidate.concept.concept_id) for candidate in candidates)
        rows = [row for row in found if row is not None]
        tags = dict.fromkeys((language.split("-")[0], "en"))  # best_names knows no regions
        names = [kb.best_names(rows, tag, NAMES_READ) for tag in tags]
        return [
            replace(candidate, names=tuple(chain.from_iterable(of_candidate)))
            for candidate, *of_candidate in zip(candidates, *names, strict=True)
        ]

    def decide(
        self, mention: Mention, hits: Sequence[Hit], candidates: Sequence[Candidate]
    ) -> Link:
        """The decision, with the candidates that the caller wants to see."""
        wanted = mention.options
        candidates = candidates[: wanted.top_k]
        if not candidates:
            return Link(None, 0.0, ())
        if wanted.explain:
            candidates = self._explain(candidates, features_of(mention.key, hits))
        first = candidates[0]
        minimum = wanted.min_confidence
        if minimum is None:
            minimum = self.confidence.default_min_confidence
        linked = first.concept.concept_id if first.probability >= minimum else None
        return Link(linked, first.probability, tuple(candidates))

    def _explain(
        self, candidates: Sequence[Candidate], features: Sequence[Features]
    ) -> list[Candidate]:
        """The candidates with what their probabilities are made of.

        Args:
            features: by rank of retrieval.
        """
        return [
            replace(
                c,
                shares=self.confidence.shares(
                    features[c.retrieval_rank - 1], c.probability, c.ranker_log_odds
                ),
            )
            for c in candidates
        ]


def _encoder_files(manifest: Manifest) -> dict[str, FileStamp]:
    """What the release's encoder is made of: equal for equal encoders, down to the last byte."""
    folder = f"{ENCODER_FOLDER}/"
    return {name: stamp for name, stamp in manifest.files.items() if name.startswith(folder)}


class _Bounded(dict[Any, Any]):
    """A dictionary that is full some day."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) < TAGS_KEPT:
            super().__setitem__(key, value)


# langcodes keeps all that it has ever parsed, and callers choose what they send.
for _cache in ("_PARSE_CACHE", "_INSTANCES"):
    setattr(langcodes.Language, _cache, _Bounded())


def read_language(tag: str, field: str) -> str:
    """The standard form of a language tag of BCP 47: `de-AT` for `DE-at` and `deu-AT`.

    Raises:
        InvalidRequestError: it is no such tag; naming `field`.
    """
    if len(tag) > LONGEST_TAG or not langcodes.tag_is_valid(tag):
        raise InvalidRequestError(field, "is not a BCP 47 language tag, such as de or pt-BR")
    return langcodes.standardize_tag(tag)


def _with_schemes(concept: Concept, schemes: tuple[str, ...]) -> Concept:
    """The concept with the xrefs of these schemes only; empty leaves them all."""
    if not schemes:
        return concept
    kept = tuple(xref for xref in concept.xrefs if xref.partition(":")[0] in schemes)
    return replace(concept, xrefs=kept)
