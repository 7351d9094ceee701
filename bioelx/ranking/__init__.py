"""Rankers: they read a mention in its window beside each candidate and weigh them."""

from bioelx.ranking.ranker import Ranker, open_ranker
from bioelx.ranking.window import Window, window_around

__all__ = ["Ranker", "Window", "open_ranker", "window_around"]
