"""The evaluation: benchmarks run offline against a release."""
