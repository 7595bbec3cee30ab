"""Hurting networks of real processes on purpose, and checking what their clients saw."""
