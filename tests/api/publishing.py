"""Publishes a world's head as its node does: a signed note in a file."""

from pathlib import Path

from ledger.encoding import note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.merkle import Frontier
from ledger.execute import ROOT_EVERY_MS, ROOT_LAG_MS
from ledger.trust import origin_of
from tests.api.world import World
from tests.builders import seed

ROOT_AFTER_MS = ROOT_EVERY_MS + ROOT_LAG_MS
PARTIES = ("guian-hub", "guiyang", "shanghai")
TIME_S = 1_767_000_000


def rooted(world: World) -> None:
    """Let blocks carry roots until that of the state as it is was carried."""
    assert world.chain.ledger.last().cuts
    while (head := world.chain.ledger.last()).cuts:
        execution = world.node.commit(time_ms=head.time_ms + ROOT_AFTER_MS)
        assert execution.record is not None
        assert execution.record.state_root


def publish(world: World, path: Path, *, more: int = 0) -> bytes:
    """Write the head of the log, or one of ``more`` entries than the store has; return it."""
    head = world.chain.ledger.last()
    made = Checkpoint(
        origin=origin_of("dev-test", head.log_id),
        size=head.log_size + more,
        root=Frontier(head.log_size, head.log_peaks).root(),
    )
    lines = [note.sign(made.text(), name=made.origin, seed=seed("shanghai", "log"))]
    lines += [
        note.cosign(
            made.text(), name=f"{made.origin}/{one}", seed=seed(one, "cosigner"), time_s=TIME_S
        )
        for one in PARTIES
    ]
    data = note.Note(text=made.text(), signatures=tuple(lines)).to_bytes()
    path.write_bytes(data)
    return data
