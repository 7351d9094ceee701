"""Which one thing, if any, an English term names in the sources of the snapshot."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from bioelx.kb.normalise import normalise
from bioelx.types import Status
from bioelx_index.sources import SourceConcept


@dataclass
class Things:
    """Concepts of all sources, tied together where a source says that two are the same.

    Add the concepts source by source, the most trusted first, and ask when all are in.
    """

    _parent: dict[str, str] = field(default_factory=dict)
    _rank: dict[str, int] = field(default_factory=dict)
    _labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _aliases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _types: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _root_types: dict[str, set[str]] = field(default_factory=dict)
    _foreign: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, concepts: Iterable[SourceConcept]) -> None:
        for concept in concepts:
            if concept.status is Status.RETIRED:
                continue
            self._rank.setdefault(concept.concept_id, len(self._rank))
            self._types[concept.concept_id].update(concept.types)
            for other in filter(_is_exact, concept.equivalent):
                self._parent[self._root(other)] = self._root(concept.concept_id)
            for name in concept.names:
                if name.lang != "en":
                    self._foreign[name.lang, normalise(name.text)].add(concept.concept_id)
                elif not is_abbreviation(name.text):
                    index = self._labels if name.kind == "label" else self._aliases
                    index[normalise(name.text)].add(concept.concept_id)

    def named(self, term: str) -> set[str]:
        """The concepts that are one thing and alone bear the English ``term``, or none.

        Labels go before aliases. Concepts are one thing if equivalences connect them, or if all
        of them are diseases that bear the term as their label.
        """
        key = normalise(term)
        labelled = self._labels.get(key, set())
        found = labelled or self._aliases.get(key, set())
        one = len({self._root(concept_id) for concept_id in found}) == 1
        return found if one or (labelled and self.types(found) == {"disease"}) else set()

    def is_label(self, term: str) -> bool:
        """Whether some concept bears the English ``term`` as its label."""
        return normalise(term) in self._labels

    def first(self, concept_ids: Iterable[str]) -> str:
        """The one of them that the most trusted source brought."""
        return min(concept_ids, key=self._rank.__getitem__)

    def types(self, concept_ids: Iterable[str]) -> set[str]:
        """The types of the things that they are, by any source."""
        if not self._root_types:
            for concept_id, types in self._types.items():
                self._root_types.setdefault(self._root(concept_id), set()).update(types)
        return set().union(*(self._root_types[self._root(each)] for each in concept_ids))

    def confirms(self, concept_ids: Iterable[str], lang: str, text: str) -> bool:
        """Whether the thing already bears ``text`` as a name in ``lang``."""
        roots = {self._root(concept_id) for concept_id in concept_ids}
        known = self._foreign.get((lang, normalise(text)), set())
        return any(self._root(concept_id) in roots for concept_id in known)

    def _root(self, node: str) -> str:
        while (above := self._parent.setdefault(node, node)) != node:
            self._parent[node] = self._parent[above]
            node = above
        return node


def _is_exact(identifier: str) -> bool:
    """ICD's codes are shared by many diseases: they tie nothing together."""
    return not identifier.startswith("icd")


def is_abbreviation(text: str) -> bool:
    """Strings of one word that many things may share: capitals, or a few letters and digits."""
    letters = sum(character.isalpha() for character in text)
    digits = any(character.isdigit() for character in text)
    return letters < 3 or (
        " " not in text and ((text.isupper() and len(text) < 8) or (digits and len(text) < 6))
    )
