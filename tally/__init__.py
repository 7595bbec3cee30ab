"""The root of the command line: output modes, exit codes, and groups loaded by name."""

__version__ = "0.1.0"
