"""What stands on libraries of strangers: built, or installed, outside of the source tree."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
BUILT_WITHIN_S = 600
"""A guard: the first time, libraries are downloaded."""


def cache() -> Path:
    """Return the folder for what is built and installed."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tallystick"


def need(tool: str, what: str) -> None:
    """Skip the test, aloud, if a tool is absent."""
    if shutil.which(tool) is None:
        reason = f"left out: {what} (it needs {tool}, which is absent)"
        print(reason)
        pytest.skip(reason)


def made(command: list[str], folder: Path, **environment: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=BUILT_WITHIN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def strangers() -> Path:
    """Return the program that checks heads, receipts and tiles, built if it is not yet."""
    need("go", "the libraries of Go that read the public log")
    source = HERE / "strangers"
    program = _place("strangers", source, "go.mod", "go.sum", "main.go") / "strangers"
    if not program.is_file():
        made(["go", "build", "-mod=readonly", "-buildvcs=false", "-o", str(program), "."], source)
    return program


def ics23() -> Path:
    """Return a folder with the packages of the ICS23 check, installed if they are not yet."""
    need("node", "the ICS23 verifier of npm")
    need("npm", "the ICS23 verifier of npm")
    source = HERE / "ics23"
    names = ("package.json", "package-lock.json")
    folder = _place("ics23", source, *names)
    if not (folder / "node_modules" / ".package-lock.json").is_file():  # npm writes it last
        for name in names:
            shutil.copy(source / name, folder)
        # The lock pins every package by its hash. None of them needs its scripts.
        made(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    return folder


def _place(name: str, source: Path, *parts: str) -> Path:
    """Return the folder for what is made of these files: other contents, other folder."""
    content = b"".join((source / part).read_bytes() for part in parts)
    folder = cache() / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
