"""Rankers: they read a mention in its window beside each candidate and weigh them."""

from bioelx.ranking.ranker import Precision, Ranker, open_ranker
from bioelx.ranking.window import Window, window_around

__all__ = ["Precision", "Ranker", "Window", "open_ranker", "window_around"]
