"""Benchmarks: one script a claim; see benchmarks/README.md."""
