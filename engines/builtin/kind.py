"""The built-in engine as a node gets it: both halves, wired by hand."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consensus.timeouts import TimeoutPolicy
from engines.builtin.engine import BuiltinEngine
from engines.builtin.height import NAME
from engines.builtin.membership import Membership
from engines.builtin.mesh import Mesh
from engines.builtin.p2p.link import Limits
from engines.builtin.p2p.roster import Roster
from engines.builtin.signer import SigningPort
from engines.builtin.wal import open_wal
from engines.seam import (
    Blockstore,
    Clock,
    HostJobs,
    Neighbours,
    SeenCommit,
    Tell,
    Timers,
    VerifyEnvelopes,
)
from ledger.encoding.crypto import public_key
from ledger.execute import Execution
from ledger.ledger import Ledger
from ledger.status import TransactionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TellBoth:
    """Tells the membership of a commit before the node."""

    membership: Membership
    node: Tell

    def committed(self, execution: Execution, seen: SeenCommit) -> None:
        """Learn that a block is durable."""
        self.membership.committed()
        self.node.committed(execution, seen)

    def refused(self, status: TransactionStatus) -> None:
        """Learn that a rule refuses for now what an own client handed in."""
        self.node.refused(status)

    def stopped(self, reason: str) -> None:
        """Learn that this node must not vote any more."""
        self.node.stopped(reason)

    def paused(self, reasons: Mapping[str, str]) -> None:
        """Learn why it does not vote for now."""
        self.node.paused(reasons)


class Builtin:
    """A `engines.seam.EngineKind`: one for each node."""

    name = NAME

    def __init__(
        self,
        *,
        named: Neighbours,
        folder: Path,
        listen_host: str,
        listen_port: int,
        limits: Limits,
        link_seed: bytes,
        signer: SigningPort,
        log_id: bytes,
        clock: Clock,
    ) -> None:
        """``folder`` holds the write-ahead log; ``signer`` is closed with the engine."""
        self._named = named
        self._folder = folder
        self._listen = (listen_host, listen_port)
        self._limits = limits
        self._link_seed = link_seed
        self._signer = signer
        self._log_id = log_id
        self._clock = clock
        self._mesh: Mesh
        self._membership: Membership

    def on_loop(
        self, jobs: HostJobs, verify: VerifyEnvelopes, heard: Callable[[str], None]
    ) -> Mesh:
        """Return the half on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._mesh = Mesh(
            party=self._named.party,
            listen_host=self._listen[0],
            listen_port=self._listen[1],
            limits=self._limits,
            seed=self._link_seed,
            log_id=self._log_id,
            clock=self._clock,
            jobs=jobs,
            verify=verify,
            heard=heard,
            on_neighbours=self._take_neighbours,
        )
        return self._mesh

    def _take_neighbours(self, named: Neighbours) -> None:
        self._membership.take(named)

    def on_host(
        self, ledger: Ledger, blocks: Blockstore, *, clock: Clock, timers: Timers, tell: Tell
    ) -> BuiltinEngine:
        """Return the half on the host thread."""
        mesh = self._mesh

        def publish(roster: Roster) -> None:
            self._loop.call_soon_threadsafe(mesh.set_roster, roster)

        self._membership = Membership(
            ledger=ledger,
            named=self._named,
            own_key=self._signer.public_key,
            link_key=public_key(self._link_seed),
            publish=publish,
        )
        engine = BuiltinEngine(
            ledger=ledger,
            blocks=blocks,
            wal=open_wal(self._folder),
            signer=self._signer,
            network=mesh.network,
            clock=clock,
            timers=timers,
            timeouts=TimeoutPolicy(),
            tell=TellBoth(membership=self._membership, node=tell),
        )
        mesh.inflow.engine = engine
        self._membership.update()
        return engine
