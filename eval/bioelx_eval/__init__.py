"""Evaluation of releases on published benchmarks."""
