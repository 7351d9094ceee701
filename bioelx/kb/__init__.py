"""The knowledge base: tables, normal form of names, look-up."""

from bioelx.kb.knowledge_base import KnowledgeBase
from bioelx.kb.normalise import normalise

__all__ = ["KnowledgeBase", "normalise"]
