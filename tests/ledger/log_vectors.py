"""What Go's implementations made of fixed seeds and entries, and the tree that they made it of."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from ledger.encoding import merkle
from ledger.encoding.policy import Policy
from ledger.encoding.policy import parse as parse_policy

GO: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "log.json").read_text(encoding="utf-8")
)
SIZE: int = GO["size"]
ORIGIN: str = GO["origin"]


def seed(number: int) -> bytes:
    """Return the seed of the log's key (0) or of a cosigner's (1 to 4)."""
    return hashlib.sha256(bytes([number])).digest()


def entry(index: int) -> bytes:
    """Return an entry of the tree: its own position in decimal."""
    return str(index).encode()


@functools.cache
def node(level: int, index: int) -> bytes:
    """Return a perfect subtree's root by its definition."""
    if level == 0:
        return merkle.leaf_hash(entry(index))
    return merkle.node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def policy(tail: str = "group g 3 v1 v2 v3 v4\nquorum g\n") -> Policy:
    """Return the policy that knows the log and its four cosigners."""
    return parse_policy((GO["policy_head"] + tail).encode())
