"""Measurements: `python benchmarks/NAME.py --json` ends with one JSON object."""
