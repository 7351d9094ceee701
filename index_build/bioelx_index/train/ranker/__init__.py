"""Trains the small cross-encoder that ranks where there is no GPU."""
