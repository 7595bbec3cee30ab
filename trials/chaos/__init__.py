"""Hurting networks of real processes on purpose, and judging what their clients saw."""
