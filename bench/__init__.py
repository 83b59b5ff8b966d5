"""Measured figures: ``make bench`` runs every section and writes BENCHMARKS.md."""
