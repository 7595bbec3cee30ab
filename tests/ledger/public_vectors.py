"""Finds the public test vectors, which lie beside the repository and are not part of it."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors"


def load(name: str) -> Any:
    """Return a vector file as JSON; skip the calling test by name if it is not there."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"public vectors {name} are not beside this checkout (../shared/vectors)")
    return json.loads(path.read_text(encoding="utf-8"))
