"""Benchmarks: every figure that a document names is printed by one script here (`python -m benchmarks.<name>`)."""
