"""The table of what a peer can take (spec P7) is the code's, row by row, and it is complete."""

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec" / "p2p.md"

NOT_A_PEERS = {
    "engines.builtin.deciding.SEEN_COMMITS_MAX": "what the console shows",
    "engines.builtin.evidence_pool.EVIDENCE_AGE_MAX": "a block's",
    "engines.builtin.mempool.FINISHED_MAX": "what is remembered of those that had room",
    "engines.builtin.mempool.JUDGED_MAX": "the own work",
    "engines.builtin.mempool.RECHECKS_MAX": "the own work",
    "engines.builtin.mesh.CLOCK_OFFSET_MAX_MS": "when this node does not vote",
    "engines.builtin.messages.BATCH_BYTES_MAX": "what this node sends",
    "engines.builtin.messages.BODY_BYTES_MAX": "so many chunks",
    "engines.builtin.messages.COMMIT_BYTES_MAX": "the own store's",
    "engines.builtin.p2p.frames.FRAGMENT_BYTES_MAX": "a frame without its head",
    "engines.builtin.p2p.identity": "so many peers, so much at once",
    "engines.builtin.signer": "the own record's",
    "engines.builtin.wal": "the own log's",
    "node.config": "its operator's",
    "node.exports": "an export's",
    "node.fetch": "an export's",
    "node.heads": "what this node asks of others' servers",
    "node.lock": "a file's",
    "node.log_keeper": "the own store's",
    "node.runtime.BATCH_MAX": "the own work",
    "node.snapshot": "an export's",
    "node.stopped": "a file's",
}
"""Bounds of ``node`` and ``engines`` without a row, by constant or module, and whose they are."""


def rows() -> dict[str, str]:
    """Return what the tables of P7 say, by constant."""
    _, _, section = SPEC.read_text(encoding="utf-8").partition("\n## P7 ")
    found = re.findall(r"^\|[^|]+\| ([^|]+) \|[^|]*\| `([\w.]+)` \|$", section, re.M)
    assert len(found) == len(re.findall(r"` \|$", section, re.M)), "a row is crooked"
    assert len(found) == len(dict.fromkeys(constant for _, constant in found)), "a row stands twice"
    return {constant: stated for stated, constant in found}


def value_of(constant: str) -> int:
    """Return a constant; a class is looked up in as it is made by default, a table by name."""
    parts = constant.split(".")
    size = max(
        at
        for at in range(1, len(parts))
        if (ROOT.joinpath(*parts[:at])).with_suffix(".py").is_file()
    )
    value: Any = import_module(".".join(parts[:size]))
    for part in parts[size:]:
        if isinstance(value, dict):
            value = {key.name: one for key, one in value.items()}[part]
        else:
            value = getattr(value() if isinstance(value, type) else value, part)
    assert isinstance(value, int)
    return value


UNITS = {"": 1, "KiB": 1024, "MiB": 1024 * 1024, "ms": 1_000, "s": 1_000_000}
"""Times in microseconds."""


def stated_value(constant: str, stated: str) -> int:
    """Return what a row says, in the unit of its constant."""
    total = 0
    for term in stated.split(" + "):
        number, _, unit = term.partition(" ")
        total += int(number.replace(",", "")) * UNITS[unit]
        is_time = re.search(r"_(ms|us)(_|$)", constant.lower())
        assert (unit in ("ms", "s")) == (is_time is not None), "the unit does not fit the constant"
        if is_time is not None and is_time[1] == "ms":
            return total // 1_000
    return total


@pytest.mark.parametrize("constant", rows())
def test_a_row_says_what_the_code_holds(constant: str) -> None:
    assert stated_value(constant, rows()[constant]) == value_of(constant)


def bounds() -> list[str]:
    """Return all constants of ``node`` and ``engines`` that bound something, by name."""
    found = []
    for path in sorted((*(ROOT / "node").rglob("*.py"), *(ROOT / "engines").rglob("*.py"))):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ) if re.search(r"_MAX(_|$)", name):
                    found.append(f"{module}.{name}")
                case ast.ClassDef(name="Limits", body=body):
                    fields = (one.target for one in body if isinstance(one, ast.AnnAssign))
                    found += [f"{module}.Limits.{ast.unparse(field)}" for field in fields]
    return found


def test_every_bound_has_a_row_or_is_none_of_a_peers() -> None:
    stated = rows()
    unknown = {
        bound
        for bound in bounds()
        if not any(row == bound or row.startswith(f"{bound}.") for row in stated)
        and bound not in NOT_A_PEERS
        and bound.rpartition(".")[0] not in NOT_A_PEERS
    }
    assert unknown == set(), "a row in docs/spec/p2p.md P7, or a reason here why it needs none"


def test_a_reason_is_given_only_for_what_is_there() -> None:
    there = set(bounds()) | {bound.rpartition(".")[0] for bound in bounds()}
    assert there >= NOT_A_PEERS.keys()
    assert not rows().keys() & NOT_A_PEERS.keys()
