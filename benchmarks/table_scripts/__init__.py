"""The steps of the table stages as one would write them by hand, for benchmarks.tables."""
