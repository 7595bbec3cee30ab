"""Crash images: what a power cut can leave of a node's files, and that a node starts from it."""
