"""Statements as lines of N-Triples (W3C Recommendation, RDF 1.1 N-Triples, 2014)."""

import re

# What the grammar forbids in a literal, and what it forbids in an IRI.
_LITERAL = re.compile(r'[\x00-\x1f"\\\x7f]')
_IRI = re.compile(r'[\x00-\x20<>"{}|^`\\]')
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def iri(value: str) -> str:
    """``value`` as an IRI term, characters that an IRI may not hold percent-encoded."""
    return f"<{_IRI.sub(lambda found: f'%{ord(found[0]):02X}', value)}>"


def literal(text: str, lang: str = "") -> str:
    """``text`` as a literal, with its language tag (BCP 47) if it has one."""
    quoted = _LITERAL.sub(lambda found: _escape(found[0]), text)
    return f'"{quoted}"@{lang}' if lang else f'"{quoted}"'


def triple(subject: str, predicate: str, value: str) -> str:
    """One line, without its line end; the three are terms already written by this module."""
    return f"{subject} {predicate} {value} ."


def _escape(character: str) -> str:
    return _SHORT.get(character) or f"\\u{ord(character):04X}"
