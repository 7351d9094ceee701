"""Data of any size in the shape of the real thing, to measure the offline job with."""
