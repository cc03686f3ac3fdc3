"""Commands that print the figures of benchmarks/README.md."""
