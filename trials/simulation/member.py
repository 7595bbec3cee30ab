"""One simulated process: the real host over simulated ports, and its death and return."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from consensus.timeouts import TimeoutPolicy
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import BATCH_BYTES_MAX, Batch
from engines.builtin.p2p.frames import Channel, PeerFault
from engines.builtin.ports import Network
from engines.builtin.signer import (
    UNKNOWN_HEIGHT,
    Refused,
    Signer,
    SignerDamaged,
    SignRequest,
    format_slots,
)
from engines.builtin.wal import WalDamaged, WriteAheadLog
from engines.seam import SeenCommit
from ledger.encoding import codec
from ledger.encoding.codec import NotCanonical
from ledger.execute import Execution, signatures_hold
from ledger.inadmissible import Inadmissible, KindUnknown
from ledger.ledger import Ledger
from ledger.status import Busy, TransactionStatus
from ledger.transactions import Transaction, parse
from trials.simulation.disk import (
    Crash,
    CrashPlan,
    SimulatedLogFile,
    SimulatedSlotFile,
    SimulatedStore,
)
from trials.simulation.network import SimulatedNetwork
from trials.simulation.signatures import Signatures, public_key
from trials.simulation.world import Violation, World

DAMAGE_SHOWS = (
    *(AssertionError, LookupError, TypeError, ValueError, NotCanonical),
    *(SignerDamaged, WalDamaged),
)
"""How a node may end that finds its disk damaged."""

TIMEOUTS = TimeoutPolicy(propose_ms=600, prevote_ms=300, precommit_ms=300, increment_ms=300)


class Witness(Protocol):
    """Who is told what members do: the checks."""

    def signed(self, member: "Member", request: SignRequest) -> None:
        """Note that a signature left the signer."""

    def committed(self, member: "Member", execution: Execution) -> None:
        """Note that a block became durable."""

    def blamed(self, member: "Member", peer: str, reason: str) -> None:
        """Note that a member closed a link because of what its peer sent."""


@dataclass(slots=True)
class MemberClock:
    """A clock that may be wrong."""

    world: World
    offset_ms: int = 0
    rate: float = 1.0
    is_set: bool = False
    """Whether time service works, so that the wall clock does not drift."""

    def wall_ms(self) -> int:
        """Return Unix time as this member believes it to be."""
        rate = 1 if self.is_set else self.rate
        return self.world.start_ms + self.offset_ms + int(self.world.now_us * rate) // 1_000

    def monotonic_us(self) -> int:
        """Return a clock that never steps."""
        return int(self.world.now_us * self.rate)


class WatchedSigner(Signer):
    """A signer of which the witness learns every signature that leaves it."""

    told: Callable[[SignRequest], None]

    def sign(self, request: SignRequest) -> bytes | Refused:
        """Return the signature or the refusal."""
        signature = super().sign(request)
        if isinstance(signature, bytes):
            self.told(request)
        return signature


class Port:
    """A member's way to the network; every message is a step at which it can die."""

    def __init__(self, member: "Member", network: SimulatedNetwork) -> None:
        self._member = member
        self._network = network

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Send to one peer."""
        self._member.plan.step()
        self._network.send(self._member.name, peer, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Send to every peer; death may come in the middle."""
        for peer in self._network.names:
            if peer != self._member.name:
                self.send(peer, channel, payload)

    def fault(self, peer: str, reason: str) -> None:
        """Close the link of a peer that broke the protocol."""
        self._member.blame(peer, reason)


class Member:
    """A validator's machine: disks that survive, a process that may not."""

    timeouts: TimeoutPolicy = TIMEOUTS
    """How long rounds wait; set it before the start."""

    def __init__(
        self,
        name: str,
        *,
        seed: bytes,
        genesis: bytes,
        world: World,
        network: SimulatedNetwork,
        signatures: Signatures,
        witness: Witness,
        random: Random,
    ) -> None:
        self.name = name
        self.seed = seed
        self.key = public_key(seed)
        self.clock = MemberClock(world)
        self.plan = CrashPlan()
        self.disk_dice = random
        """Decides what a crash leaves of what was not synced."""
        self.crashes = 0
        self.rotten = ""
        """The part of its disk in which a bit flipped, until its operator puts that part aside."""
        self.host: BuiltinEngine | None = None
        self.store: SimulatedStore
        self.ledger: Ledger
        self.signer: Signer
        self.port: Network = Port(self, network)
        self._world = world
        self._network = network
        self._signatures = signatures
        self._witness = witness
        self._logs = [SimulatedLogFile(f"{name}/wal.{i}", self.plan, random) for i in (0, 1)]
        self._slots = SimulatedSlotFile(self.plan, random)
        self._genesis = genesis
        self._lost_height: int | None = None
        """The last height decided when it lost a part of its disk; None while it is whole."""
        self._life = 0
        """Counts processes: timers of a dead one do nothing."""
        self._paused_until_us = 0
        format_slots(seed, self._slots)
        self._new_store()

    @property
    def is_up(self) -> bool:
        """Return whether the process runs."""
        return self.host is not None

    @property
    def is_stalled(self) -> bool:
        """Return whether the process stands still."""
        return self.is_up and self._world.now_us < self._paused_until_us

    # --- life and death --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process on what its disks hold; it may die on the way."""
        self._life += 1
        self._world.note(f"{self.name} starts at height {self.store_height}")
        try:
            signer = WatchedSigner(self.seed, self._slots, sign=self._signatures.sign)
            signer.told = lambda request: self._witness.signed(self, request)
            self.signer = signer
            self.ledger = self.make_ledger()
            self.host = BuiltinEngine(
                ledger=self.ledger,
                blocks=self.store,
                wal=WriteAheadLog(self._logs),
                signer=signer,
                network=self.port,
                clock=self.clock,
                timers=self,
                timeouts=self.timeouts,
                tell=self,
                verify=self._signatures.verify,
            )
            self.host.start()
        except Crash:
            self._die()
            return
        except OSError as error:
            self._die_of(error)
            return
        except DAMAGE_SHOWS as error:
            self._stop_for(error)
            return
        self._network.gain(self.name)

    def make_ledger(self) -> Ledger:
        """Return the ledger of a new process, over what the disk holds."""
        return Ledger(self.store, verify=self._signatures.verify)

    @property
    def store_height(self) -> int:
        """Return the height of the last durable block."""
        head = self.store.head()
        assert head is not None
        return head.height

    def kill(self) -> None:
        """Let the process die here and now, between two events."""
        if self.is_up:
            self._die()

    def _die(self) -> None:
        self._world.note(f"{self.name} dies")
        self.crashes += 1
        self._life += 1
        self.host = None
        self.plan.arm(0)
        self._paused_until_us = 0
        for file in self._logs:
            file.crash()
        self._slots.crash()
        self._network.lose(self.name)

    def _die_of(self, error: OSError) -> None:
        """Let the process end because its disk failed, as the node's own main does."""
        self._world.note(f"{self.name}: {error}")
        self._world.count("disk errors")
        self._die()

    # --- rot and loss ----------------------------------------------------------------------------

    def flip_a_bit(self, random: Random) -> None:
        """Damage what the disk holds while no process runs; from now on this disk is suspect."""
        assert not self.is_up
        parts: dict[str, Sequence[SimulatedLogFile | SimulatedSlotFile | SimulatedStore]] = {
            "log": self._logs,
            "record": [self._slots],
            "store": [self.store],
        }
        self.rotten = random.choice(("log", "log", "record", "store"))
        random.choice(parts[self.rotten]).flip(random)
        self._world.note(f"a bit of the {self.rotten} flips on the disk of {self.name}")

    def lose(self, part: str) -> None:
        """Lose a part of the disk, one of LOST_PARTS, while no process runs."""
        assert not self.is_up
        self._world.note(f"{self.name} loses of its disk: {part}")
        self._lost_height = max(self._lost_height or 0, self.store_height)
        self.plan.is_full = self.plan.sync_fails = False  # what is made anew has room
        if part in ("store", "all"):
            self._new_store()
        if part in ("log", "all"):
            self._new_log()
        if part in ("record", "all"):
            self._new_record()
        if part == "end of the log":
            for file in self._logs:
                file.lose_end()
        self._network.forget(self.name)

    def heal(self, part: str) -> None:
        """Do what an operator does about rot: put the part aside, the next start makes it anew."""
        self._world.count("parts put aside for rot")
        self.lose(part)
        self.rotten = ""

    @property
    def is_whole(self) -> bool:
        """Return whether it has again what it lost, and its key may sign as if nothing had been."""
        if self._lost_height is None:
            return True
        if self.host is None or self.store_height < self._lost_height:
            return False
        if self.signer.is_silent or self.host.height <= self.signer.watermark_height:
            return False
        return self.host.key.may_sign(self.host.height)

    def note_if_whole(self) -> None:
        """Forget about a loss that is made good."""
        if self._lost_height is not None and self.is_whole:
            self._world.note(f"{self.name} is whole again")
            self._world.count("losses made good")
            self._lost_height = None

    def _new_store(self) -> None:
        self.store = SimulatedStore(self.plan, lambda done: self._witness.committed(self, done))
        Ledger(self.store).begin(self._genesis)

    def _new_log(self) -> None:
        for file in self._logs:
            file.lose()

    def _new_record(self) -> None:
        """Make the record of a key that may have signed anything (N10)."""
        format_slots(self.seed, self._slots, watermark_height=UNKNOWN_HEIGHT)

    def _stop_for(self, error: Exception) -> None:
        """End because damage showed, and let the operator put aside what is bad; else raise."""
        match error:
            case Violation():
                raise error
            case WalDamaged():
                bad = "log"
            case SignerDamaged():
                bad = "record"
            case _:
                bad = "store"
        if bad != self.rotten:
            raise error
        self._world.note(f"{self.name} stops: {type(error).__name__}: {error}")
        self._world.count("damage that stopped a member")
        self._die()
        self.heal(bad)

    def pause(self, for_us: int) -> None:
        """Let the process stand still: what happens meanwhile reaches it later, all at once."""
        self._world.note(f"{self.name} stalls for {for_us // 1_000} ms")
        self._paused_until_us = self._world.now_us + for_us

    def _run(self, action: Callable[[BuiltinEngine], None]) -> None:
        """Do something in the process, now or after its stall, unless it dies before."""
        if self.host is None:
            return
        if self._world.now_us < self._paused_until_us:
            life = self._life
            wait_us = self._paused_until_us - self._world.now_us
            self._world.after(wait_us, lambda: self._run(action) if life == self._life else None)
            return
        try:
            action(self.host)
        except Crash:
            self._die()
        except OSError as error:
            self._die_of(error)
        except DAMAGE_SHOWS as error:
            self._stop_for(error)

    # --- the host's timers -----------------------------------------------------------------------

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Call the host back later, by this member's clock."""
        life = self._life
        delay_us = int(delay_ms * 1_000 / self.clock.rate)

        def due() -> None:
            if life == self._life:
                self._run(lambda host: action())

        self._world.after(delay_us, due)

    # --- what the engine tells -------------------------------------------------------------------

    def committed(self, execution: Execution, seen: SeenCommit) -> None:
        """Note that a block is durable."""
        self._world.note(
            f"{self.name} commits h{seen.height} with {len(execution.results)} transactions"
        )

    def refused(self, status: TransactionStatus) -> None:
        """Nobody asks what became of a transaction."""

    def stopped(self, reason: str) -> None:
        """The checks ask the key itself."""

    def paused(self, reasons: Mapping[str, str]) -> None:
        """No simulated node pauses."""

    # --- what comes in ---------------------------------------------------------------------------

    def receive(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Take a peer's message as the node's event loop does."""

        def take(host: BuiltinEngine) -> None:
            try:
                if channel is Channel.TRANSACTIONS:
                    self._take_batch(host, payload)
                else:
                    host.on_message(peer, channel, payload)
            except PeerFault as fault:
                self.blame(peer, str(fault))

        self._run(take)

    def _take_batch(self, host: BuiltinEngine, payload: bytes) -> None:
        try:
            batch: Batch = codec.decode(Batch, payload, BATCH_BYTES_MAX + 64 * 1024)
            transactions = list(_of_known_kinds(batch.envelopes))
        except NotCanonical as error:
            raise PeerFault(f"malformed batch: {error}") from None
        for transaction in transactions:
            if not signatures_hold(transaction, self._signatures.verify):
                raise PeerFault("sent a transaction that is badly signed")
            try:
                host.on_transaction(transaction, own=False)
            except (Inadmissible, Busy):
                continue  # an honest peer may be a block behind, or we may be full

    def submit(self, raw: bytes) -> None:
        """Take a client's transaction; it is not told what became of it."""

        def take(host: BuiltinEngine) -> None:
            transaction = parse(raw)
            if not signatures_hold(transaction, self._signatures.verify):
                return
            try:
                host.on_transaction(transaction, own=True)
            except (Inadmissible, Busy):
                return
            host.on_idle()

        self._run(take)

    def peer_up(self, peer: str) -> None:
        """Note that a link is up."""
        self._run(lambda host: host.on_peer_up(peer))

    def peer_down(self, peer: str) -> None:
        """Note that a link is lost."""
        self._run(lambda host: host.on_peer_down(peer))

    def blame(self, peer: str, reason: str) -> None:
        """Close a link because of what the peer sent."""
        self._world.note(f"{self.name} blames {peer}: {reason}")
        self._witness.blamed(self, peer, reason)
        self._network.relink(self.name, peer)


def _of_known_kinds(envelopes: tuple[bytes, ...]) -> Iterator[Transaction]:
    """Yield what a peer sent on, but for kinds that only newer software knows: no fault of it."""
    for raw in envelopes:
        try:
            yield parse(raw)
        except KindUnknown:
            continue
