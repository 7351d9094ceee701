"""The online journey: mention -> vector -> neighbours -> concepts -> ranker -> confidence -> link.

`Linker.link` reads from top to bottom; each step is one call into the package that owns it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter

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
SURE = 0.9
"""From this probability on, `rerank=auto` does not ask the ranker."""

RANKED = 16
"""Candidates that the ranker reads, however few or many a caller wants to see."""


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
        if isinstance(options, LinkOptions):
            options = [options] * len(queries)
        for each in dict.fromkeys(options):
            self.check(each)
        keys = [normalise(query.mention) for query in queries]
        for i, key in enumerate(keys):
            if not key:
                raise InvalidRequestError(f"queries[{i}]", "has no visible character")
        queries = [
            replace(query, language=read_language(query.language, f"queries[{i}].language"))
            if query.language
            else query
            for i, query in enumerate(queries)
        ]

        timing = Timing()
        started = perf_counter()
        distinct = {key: row for row, key in enumerate(dict.fromkeys(keys))}
        vectors = self.encoder.encode(list(distinct))[[distinct[key] for key in keys]]
        timing.encoding = perf_counter() - started

        started = perf_counter()
        hits = self._retrieve(queries, keys, vectors, options)
        timing.searching = perf_counter() - started

        features = [features_of(key, found) for key, found in zip(keys, hits, strict=True)]
        candidates = self._describe(hits, features, queries, options)

        if self.ranker is not None:
            started = perf_counter()
            candidates = [
                self._rank(self.ranker, found, query, wanted)[: wanted.top_k]
                for found, query, wanted in zip(candidates, queries, options, strict=True)
            ]
            timing.ranking = perf_counter() - started

        candidates = [
            self._explain(found, seen) if wanted.explain else found
            for found, seen, wanted in zip(candidates, features, options, strict=True)
        ]
        links = tuple(
            self._decide(f, wanted) for f, wanted in zip(candidates, options, strict=True)
        )
        return LinkedBatch(links, self.manifest.id, timing)

    def _retrieve(
        self,
        queries: Sequence[Query],
        keys: Sequence[str],
        vectors: npt.NDArray[np.float32],
        options: Sequence[LinkOptions],
    ) -> list[list[Hit]]:
        """Retrieves together what is searched in the same way."""
        groups: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        for i, wanted in enumerate(options):
            groups[max(self._depth(wanted), CONSIDERED), wanted.types].append(i)
        hits: list[list[Hit]] = [[] for _ in queries]
        for (top_k, types), rows in groups.items():
            found = self._retriever.retrieve(
                [keys[i] for i in rows],
                vectors[rows],
                [queries[i].language for i in rows],
                top_k=top_k,
                types=types,
            )
            for i, of_query in zip(rows, found, strict=True):
                hits[i] = of_query
        return hits

    def _depth(self, wanted: LinkOptions) -> int:
        """Candidates that are described: what the ranker reads does not depend on what is shown."""
        reads = self.ranker is not None and wanted.rerank is not Rerank.NEVER
        return max(wanted.top_k, RANKED) if reads else wanted.top_k

    def _describe(
        self,
        hits: Sequence[Sequence[Hit]],
        features: Sequence[Sequence[Features]],
        queries: Sequence[Query],
        options: Sequence[LinkOptions],
    ) -> list[list[Candidate]]:
        """The hits that are asked for as candidates; what they say is read for all at once."""
        shown = [found[: self._depth(wanted)] for found, wanted in zip(hits, options, strict=True)]
        concept_rows = list({hit.concept_row for found in shown for hit in found})
        concepts = dict(zip(concept_rows, self.knowledge_base.concepts(concept_rows), strict=True))
        names = iter(self.knowledge_base.names([hit.name_row for of in shown for hit in of]))
        labels = self._labels(shown, queries, options)
        candidates = []
        for seen, of_query, wanted, labelled in zip(features, shown, options, labels, strict=True):
            probabilities = self.confidence.probabilities(seen)
            candidates.append(
                [
                    Candidate(
                        concept=_with_schemes(concepts[hit.concept_row], wanted.schemes),
                        matched=next(names),
                        exact=hit.exact,
                        retrieval_score=hit.score,
                        retrieval_rank=rank,
                        label=label,
                        label_language=language,
                        probability=probabilities[rank - 1],
                    )
                    for rank, (hit, (label, language)) in enumerate(
                        zip(of_query, labelled, strict=True), start=1
                    )
                ]
            )
        return candidates

    def _labels(
        self,
        hits: Sequence[Sequence[Hit]],
        queries: Sequence[Query],
        options: Sequence[LinkOptions],
    ) -> list[list[tuple[str, str]]]:
        """The label of each hit in the languages that its query asks for, with its language."""
        rows: dict[tuple[str, ...], set[int]] = defaultdict(set)
        languages = []
        for found, query, wanted in zip(hits, queries, options, strict=True):
            tags = wanted.label_languages or (query.language, "en")
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

    def _rank(
        self, ranker: Ranker, candidates: list[Candidate], query: Query, options: LinkOptions
    ) -> list[Candidate]:
        """Lets the ranker read the context where it is wanted and can change the answer."""
        if options.rerank is Rerank.NEVER or not candidates:
            return candidates
        if options.rerank is Rerank.AUTO and candidates[0].probability >= SURE:
            return candidates
        read, rest = candidates[:RANKED], candidates[RANKED:]
        named = self._with_names(read, query.language)
        log_odds = ranker.log_odds(window_around(query), named)
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

    def _with_names(self, candidates: Sequence[Candidate], language: str) -> list[Candidate]:
        """The candidates with names in the mention's language and in English, whichever languages
        the caller wants to see.
        """
        kb = self.knowledge_base
        found = (kb.row_of(candidate.concept.concept_id) for candidate in candidates)
        rows = [row for row in found if row is not None]
        names = [kb.best_names(rows, each, NAMES_READ) for each in dict.fromkeys((language, "en"))]
        return [
            replace(candidate, names=tuple(chain.from_iterable(of_candidate)))
            for candidate, *of_candidate in zip(candidates, *names, strict=True)
        ]

    def _decide(self, candidates: Sequence[Candidate], options: LinkOptions) -> Link:
        if not candidates:
            return Link(None, 0.0, ())
        first = candidates[0]
        minimum = options.min_confidence
        if minimum is None:
            minimum = self.confidence.default_min_confidence
        linked = first.concept.concept_id if first.probability >= minimum else None
        return Link(linked, first.probability, tuple(candidates))


def _encoder_files(manifest: Manifest) -> dict[str, FileStamp]:
    """What the release's encoder is made of: equal for equal encoders, down to the last byte."""
    folder = f"{ENCODER_FOLDER}/"
    return {name: stamp for name, stamp in manifest.files.items() if name.startswith(folder)}


def read_language(tag: str, field: str) -> str:
    """The standard form of a language tag of BCP 47: `de-AT` for `DE-at` and `deu-AT`.

    Raises:
        InvalidRequestError: it is no such tag; naming `field`.
    """
    if not langcodes.tag_is_valid(tag):
        raise InvalidRequestError(field, "is not a BCP 47 language tag, such as de or pt-BR")
    return langcodes.standardize_tag(tag)


def _with_schemes(concept: Concept, schemes: tuple[str, ...]) -> Concept:
    """The concept with the xrefs of these schemes only; empty leaves them all."""
    if not schemes:
        return concept
    kept = tuple(xref for xref in concept.xrefs if xref.partition(":")[0] in schemes)
    return replace(concept, xrefs=kept)
